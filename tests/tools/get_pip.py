"""Stands in for the pip bootstrap script that ansible-test downloads; the arguments are those of `pip install`."""

import subprocess
import sys

wanted = [arg for arg in sys.argv[1:] if arg not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True)
subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=True)
