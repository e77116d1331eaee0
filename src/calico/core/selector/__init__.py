"""The label language: text -> syntax tree -> does it match these labels."""
