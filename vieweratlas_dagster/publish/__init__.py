"""What leaves the house: the atlas page, pictures and exchange files, made from finished tables.

Belongs here: turning tables into published bytes. Does not belong here: computing the tables, and
where the bytes are kept.
"""
