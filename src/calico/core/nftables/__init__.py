"""The words of an nftables rule set as values, and their text for people and tests."""
