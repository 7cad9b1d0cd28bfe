"""The reference generators: one a file, importing only the public names of genbench;
installed as genbench_plugins.
"""
