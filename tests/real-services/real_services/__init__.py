"""Real Synapse, Letta, PostgreSQL and Redis on loopback, for tests. See ../README.md."""
import sys

if sys.version_info < (3, 11):
    sys.exit("real-services: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
if not sys.platform.startswith("linux"):
    sys.exit("real-services: only Linux is supported (processes and ports are checked through /proc)")
