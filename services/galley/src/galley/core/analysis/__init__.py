"""What is wrong with a set of objects taken together: analyzers, their messages, and proposals how to fix it.

Validation looks at one object; analysis looks at many, from files, from the store, or from both ("what if"). Documents
are read tolerantly: a broken or unknown object takes part with what can be read of it and never stops the others.
"""
