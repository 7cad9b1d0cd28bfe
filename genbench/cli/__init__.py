"""Run genbench from the command line.

The entry point, the group of commands, shared options and listings. Every command is a file of
commands/, found at run time. The argument parsing belongs here; what a command does belongs in the
package of its subject.

May import every package; no package imports it.
"""
