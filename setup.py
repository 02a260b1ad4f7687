"Package data for pip; every fact comes from settings.ini, so that nbdev and pip never disagree."
from configparser import ConfigParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from setuptools import setup

config = ConfigParser(delimiters=["="], interpolation=None)
config.read("settings.ini", encoding="utf-8")
s = config["DEFAULT"]
readme = Path("README.md")  # written from nbs/index.ipynb


def requirements(key):
    "The requirements named by `key` in settings.ini, each parsed so that a typing error stops the build."
    return [str(Requirement(r)) for r in s.get(key, "").split()]


pythons = [f"3.{minor}" for minor in range(11, 15) if Version(f"3.{minor}") >= Version(s["min_python"])]

setup(
    name=s["lib_name"],
    version=s["version"],
    description=s["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else s["description"],
    long_description_content_type="text/markdown",
    author=s["author"],
    author_email=s["author_email"],
    keywords=s["keywords"],
    url=s["git_url"],
    project_urls={"Documentation": s["doc_host"] + s["doc_baseurl"]},
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=f">={s['min_python']}",
    packages=["e2h"],
    package_data={"e2h": ["assets/*"]},
    install_requires=requirements("requirements"),
    extras_require={extra: requirements(f"{extra}_requirements") for extra in ["lm", "harness", "ray", "dev"]},
    entry_points={"console_scripts": s["console_scripts"].split(), "nbdev": ["e2h=e2h._modidx:d"]},
    classifiers=["Development Status :: 3 - Alpha", f"Intended Audience :: {s['audience']}",
                 f"Natural Language :: {s['language']}"]
    + [f"Programming Language :: Python :: {p}" for p in ["3", *pythons]],
    zip_safe=False,
)
