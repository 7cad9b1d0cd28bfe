"""Write one HTML page from finished runs (`genbench report`).

The page is assembled in html_page.py. Every section is a file of sections/, found at run time; the
template, the style and the script of the page lie beside them.

May import every package but cli, integrations, experiments, selftest.

Public names, by file:

    html_page: written
    run_data: runs_of
"""
