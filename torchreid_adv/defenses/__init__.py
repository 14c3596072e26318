"""Test-time defenses, pixels to pixels; modules named in `adv.plugins` register theirs, too."""
