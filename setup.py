"""All is declared in pyproject.toml, except where two folders beside the package go in a wheel.

``configs/`` is ``torchreid_adv/configs`` there, ``benchmarks/`` is ``torchreid_adv/benchmarks``.
"""

from setuptools import find_namespace_packages, setup

BESIDE = {f"torchreid_adv.{folder}": folder for folder in ("configs", "benchmarks")}

setup(
    packages=[
        *find_namespace_packages(include=["torchreid_adv*"]),
        *BESIDE,
        *(
            f"{package}.{name}"
            for package, folder in BESIDE.items()
            for name in find_namespace_packages(folder)
        ),
    ],
    package_dir=BESIDE,
    package_data={"": ["*.yaml"]},
)
