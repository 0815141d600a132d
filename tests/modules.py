"""The modules of a crate and what they import, for tests/cycles and tests/drawing.

A path that begins with crate::, self:: or super:: counts as an import of the file that it leads to. A folder's mod.rs
may import its own files, and they may import what it defines, so that pair is not counted.
"""

import os
import re


def modules(crate):
    """Each module of a crate by its path, as a tuple of names, with the text of its file without unit tests."""
    found = {}
    for folder, _, names in os.walk(crate):
        for name in sorted(names):
            if not name.endswith(".rs") or name == "tests.rs" or "tests" in folder.split(os.sep):
                continue
            file = os.path.join(folder, name)
            parts = os.path.relpath(file, crate)[:-3].split(os.sep)
            if parts[-1] in ("mod", "lib", "main"):
                parts.pop()
            with open(file, encoding="utf-8") as source:
                text = source.read().split("#[cfg(test)]\nmod tests {")[0]
            found[tuple(parts)] = (file, text)
    return found


def imports(module, text):
    """The paths that the module names, from the root of the crate."""
    code = re.sub(r"//.*", "", text)
    for group in re.findall(r"\b((?:crate|self|super)(?:::\w+)*(?:::\{[^;]*?\})?)", code):
        head, _, names = group.partition("::{")
        start, path = list(module), head.split("::")
        while path and path[0] in ("crate", "self", "super"):
            first = path.pop(0)
            if first == "crate":
                start = []
            elif first == "super" and start:
                start.pop()
        base = tuple(start + path)
        yield base
        for name in re.findall(r"(?:^|,)\s*(\w+)", names.rstrip("}")):
            yield base + (name,)


def graph(crate):
    """The modules of a crate, and for each the set of those that it imports."""
    found = modules(crate)
    edges = {module: set() for module in found}
    for module, (_, text) in found.items():
        for path in imports(module, text):
            while path and path not in found:
                path = path[:-1]
            related = path == module[: len(path)] or module == path[: len(module)]
            if path and path != module and not related:
                edges[module].add(path)
    return found, edges


def reachable(edges):
    """For each module, those that it imports, directly or through others."""
    reach = {}
    for start in edges:
        seen, left = set(), [start]
        while left:
            for near in edges[left.pop()]:
                if near not in seen:
                    seen.add(near)
                    left.append(near)
        reach[start] = seen
    return reach


def circles(edges):
    """Groups of modules that can reach each other."""
    reach = reachable(edges)
    groups = {frozenset(b for b in reach[a] if a in reach[b]) for a in edges if a in reach[a]}
    return sorted(groups, key=sorted)
