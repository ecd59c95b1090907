"""What the scripts say, and how they give up."""
import sys


class Failure(Exception):
    """Something the reader can act on; the message says what."""


def say(text):
    try:
        sys.stderr.write(f"real-services: {text}\n")  # in one piece, for runs that share a terminal
        sys.stderr.flush()
    except OSError:
        pass  # the terminal is gone (SIGHUP); stopping the servers matters more
