"""The arguments of the commands and their help, by group; what they do is beside this folder."""
