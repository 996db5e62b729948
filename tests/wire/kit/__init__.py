"""What the tests of the protocol share: a task hub with its calls, a worker made by hand, hostile messages."""
