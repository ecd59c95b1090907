"""What the scripts say, and how they give up."""
import sys


class Failure(Exception):
    """Something the reader can act on; the message says what."""


def say(text):
    try:
        print(f"real-services: {text}", file=sys.stderr, flush=True)
    except OSError:
        pass  # the terminal is gone (SIGHUP); stopping the servers matters more
