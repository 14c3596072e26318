"""Questions asked of many runs: papers' tables, studies, the zoo, scenarios, pictures."""
