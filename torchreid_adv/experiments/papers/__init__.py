"""The code behind papers' tables and figures, one file per paper."""
