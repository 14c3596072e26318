"""All is declared in pyproject.toml, but that configs/ is torchreid_adv/configs in a wheel."""

from setuptools import find_namespace_packages, setup

CONFIGS = "torchreid_adv.configs"

setup(
    packages=[
        *find_namespace_packages(include=["torchreid_adv*"]),
        CONFIGS,
        *(f"{CONFIGS}.{name}" for name in find_namespace_packages("configs")),
    ],
    package_dir={CONFIGS: "configs"},
    package_data={"": ["*.yaml"]},
)
