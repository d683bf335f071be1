"""Finished maps: reading their stored tables, and drawing their pages, pictures and exchange files."""
