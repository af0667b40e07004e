"""What `import vct` exports, with links: instead of a line `<!-- exports -->` in the API's page."""

import vct

PAGE, MARK = "api", "<!-- exports -->"


def fill(app, docname, source):
    if docname == PAGE:
        places = [f"{getattr(vct, name).__module__}.{name}" for name in vct.__all__]
        source[0] = source[0].replace(MARK, ", ".join(f"{{py:obj}}`~{place}`" for place in places))


def setup(app):
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
