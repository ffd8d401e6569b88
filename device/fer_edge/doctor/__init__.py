"""``fer-edge doctor``: says what is wrong on this machine and what to do about it. Start with ``examine.py``.

Probes gather facts (``probe_*.py``), pure functions judge them (``judge_*.py``), ``report.py`` prints the findings.
"""
