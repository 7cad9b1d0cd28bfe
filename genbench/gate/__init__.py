"""Decide whether a candidate is worse than its baseline (`genbench check`).

The rules of gate.toml, the judgement with its verdicts, sample sizes, baselines, and the output
formats for people and CI.

May import every package but cli, integrations, experiments, selftest, report, human.

Public names, by file:

    baselines: listed, save
    false_alarm_rate: text
    run_check: again, checked, publish, self_tested
    sample_size: of_run, stated, text
"""
