"""Run studies with human raters (`genbench human`).

The study file, its local web page (pages/ holds the templates), and the statistics of the answers.

May import every package but cli, integrations, experiments, selftest, report.

Public names, by file:

    answers: read
    create_study: Words, made
    csv_formats: exported, imported
    paired_comparison: present
    record_results: enter
    render: as_text
    results: found, plain
    server: serve
    store: Store
    study_kinds: KINDS, questions_of
"""
