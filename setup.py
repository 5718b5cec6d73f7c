"""The compiled modules of howdah; everything else about the package stands in setup.cfg."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = sorted(Path("analytics/core").rglob("*.pyx"))

setup(
    ext_modules=cythonize(
        [Extension(".".join(path.with_suffix("").parts), [str(path)], extra_compile_args=["-O3"]) for path in CORE],
        language_level=3,
        compiler_directives={"boundscheck": False, "wraparound": False, "cdivision": True},
    )
)
