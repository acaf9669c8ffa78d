"""A live gallery of runs: every trace of every run that is named, filtered, sorted and paged where they lie.

    index.py     traces.jsonl files -> numbers in memory and a place on the disk for each trace; follows running jobs
    columns.py   what is kept of a trace for filters and sorting
    search.py    the texts, folded, in a file of their own
    query.py     what a reader asks for: an address <-> filters, sorting, page
    flips.py     answers that differ between two runs
    group.py     the responses to one problem side by side, and which tokens got which credit
    words.py     word by word, what a second attempt changed
    site.py      a request -> a page; knows no sockets
    server.py    the socket: loopback or a token, headers that let nothing out

The server is the standard library's: a reader at a time, nothing more to install than for `srpo report`.
"""
