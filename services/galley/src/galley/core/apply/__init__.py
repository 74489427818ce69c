"""Server-side apply: who owns which field, and what an applied configuration does to an object. Pure.

Fields are named as the API's FieldsV1 names them. An applied configuration says what its manager wants and nothing
else: it merges into the object, takes its fields, and gives up those that it no longer names.
"""
