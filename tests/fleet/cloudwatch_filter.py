"""A matcher of CloudWatch's filter patterns, after "Filter pattern syntax for metric filters" of the CloudWatch Logs
User Guide. What the guide does not define is refused with `Invalid`, so that no filter of ours depends on it."""

import json
import re

MAX_PATTERN = 1024  # PutMetricFilter, filterPattern
MAX_REGEXES = 2  # in one pattern of JSON or fields


class Invalid(ValueError):
    """CloudWatch would refuse the pattern, or its guide does not say what it means."""


def matches(pattern, message):
    """Whether a pattern matches the message of a log event."""
    if len(pattern) > MAX_PATTERN:
        raise Invalid(f"{len(pattern)} characters")
    pattern = pattern.strip()
    if pattern in ("", '""'):
        return True
    if pattern.startswith("{"):
        return Json(pattern).matches(message)
    if pattern.startswith("["):
        return Fields(pattern).matches(message)
    if pattern.startswith("%"):
        if len(pattern) < 3 or not pattern.endswith("%"):
            raise Invalid(pattern)
        return bool(regex(pattern[1:-1]).search(message))
    return Terms(pattern).matches(message)


# --- regular expressions --------------------------------------------------------------------------------

ESCAPES = re.compile(r"\\(?:[dDsSwW]|x[0-9A-Fa-f]{2}|[^A-Za-z0-9])")
PLAIN = re.compile(r"[A-Za-z0-9:_#=@/;,\-^$?\[\]{}|*+.]")


def regex(text):
    """Compiles a regular expression with the characters that the guide lists. Parentheses are not supported."""
    place = 0
    while place < len(text):
        found = ESCAPES.match(text, place) or PLAIN.match(text, place)
        if not found:
            raise Invalid(f"{text[place]!r} in the regular expression {text!r}")
        place = found.end()
    try:
        return re.compile(text)
    except re.error as error:
        raise Invalid(f"{text!r}: {error}") from error


# --- terms ----------------------------------------------------------------------------------------------


class Terms:
    """`ERROR "exact phrase" -without`, or `?one ?another`."""

    TERM = re.compile(r'\s*(?:(?P<mark>[-?])\s*)?(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>[A-Za-z0-9_]+))(?=\s|$)')

    def __init__(self, pattern):
        self.all, self.none, self.any = [], [], []
        place = 0
        while place < len(pattern):
            found = self.TERM.match(pattern, place)
            if not found:
                raise Invalid(f"no term, or one that needs quotes: {pattern[place:]!r}")
            place = found.end()
            term = found["word"] if found["phrase"] is None else re.sub(r"\\(.)", r"\1", found["phrase"])
            {None: self.all, "-": self.none, "?": self.any}[found["mark"]].append(term)

    def matches(self, message):
        if any(term in message for term in self.none) or not all(term in message for term in self.all):
            return False
        # With other terms, question marks are ignored.
        return bool(self.all or self.none) or any(term in message for term in self.any)


# --- JSON -----------------------------------------------------------------------------------------------

NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$")
MISSING = object()


def wild(pattern, text):
    """An asterisk stands for any text before or after the value. Elsewhere it is an asterisk."""
    start, end = pattern.startswith("*"), pattern.endswith("*")
    if pattern == "*":
        return True
    core = pattern[1 if start else 0 : -1 if end else None]
    if start and end:
        return core in text
    if start:
        return text.endswith(core)
    return text.startswith(core) if end else text == core


class Value:
    """What a condition compares with."""

    def __init__(self, kind, text):
        self.kind, self.text = kind, text
        self.pattern = regex(text) if kind == "regex" else None

    def equals(self, found):
        if self.kind == "regex":
            return bool(self.pattern.search(as_text(found)))
        if self.kind == "word" and NUMBER.match(self.text) and is_number(found):
            return float(found) == float(self.text)
        return wild(self.text, as_text(found))

    def compare(self, operator, found):
        if operator in ("=", "!="):
            return self.equals(found) == (operator == "=")
        if self.kind != "word" or not NUMBER.match(self.text):
            raise Invalid(f"{operator} needs a number, got {self.text!r}")
        if not is_number(found):
            return False
        left, right = float(found), float(self.text)
        return {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}[operator]


def as_text(found):
    return found if isinstance(found, str) else json.dumps(found)


def is_number(found):
    if isinstance(found, bool):
        return False
    return isinstance(found, (int, float)) or (isinstance(found, str) and bool(NUMBER.match(found)))


class Parser:
    """The conditions of JSON and of fields: parentheses, then &&, then ||."""

    TOKEN = re.compile(
        r'\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*")|%(?P<regex>[^%]+)%|(?P<sign>\|\||&&|[()]|!=|<=|>=|=|<|>)'
        r"|(?P<word>[^\s()|&=!<>\"%,]+))"
    )

    def __init__(self, text):
        self.tokens, self.place = [], 0
        place = 0
        while text[place:].strip():
            found = self.TOKEN.match(text, place)
            if not found:
                raise Invalid(text[place:])
            place = found.end()
            kind = found.lastgroup
            value = found[kind]
            if kind == "quoted":
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            self.tokens.append((kind, value))
        if sum(kind == "regex" for kind, _ in self.tokens) > MAX_REGEXES:
            raise Invalid("too many regular expressions")

    def peek(self):
        return self.tokens[self.place] if self.place < len(self.tokens) else (None, None)

    def next(self, *wanted):
        kind, value = self.peek()
        if kind is None or (wanted and value not in wanted):
            raise Invalid(f"expected {wanted or 'a value'}, got {value!r}")
        self.place += 1
        return kind, value

    def parse(self):
        tree = self.either()
        if self.peek() != (None, None):
            raise Invalid(f"unexpected {self.peek()[1]!r}")
        return tree

    def either(self):
        parts = [self.both()]
        while self.peek() == ("sign", "||"):
            self.next()
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else lambda look: any([part(look) for part in parts])

    def both(self):
        parts = [self.one()]
        while self.peek() == ("sign", "&&"):
            self.next()
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else lambda look: all([part(look) for part in parts])

    def one(self):
        if self.peek() == ("sign", "("):
            self.next()
            tree = self.either()
            self.next(")")
            return tree
        return self.condition()

    def condition(self):
        kind, name = self.next()
        if kind != "word":
            raise Invalid(f"expected a name, got {name!r}")
        _, operator = self.next("=", "!=", "<", ">", "<=", ">=", "IS", "NOT", "EXISTS")
        if operator == "IS":
            wanted = {"NULL": None, "TRUE": True, "FALSE": False}[self.next("NULL", "TRUE", "FALSE")[1]]
            return lambda look: look(name) is wanted
        if operator == "NOT":
            self.next("EXISTS")
            return lambda look: look(name) is MISSING
        if operator == "EXISTS":
            return lambda look: look(name) is not MISSING
        kind, value = self.next()
        if kind == "sign":
            raise Invalid(f"expected a value, got {value!r}")
        if kind == "word" and not re.fullmatch(r"[A-Za-z0-9_.*+\-]+", value):
            raise Invalid(f"{value!r} needs quotes")
        value = Value(kind, value)

        def check(look):
            found = look(name)
            # A selector that points to no string or number: the filter is not applied.
            return found is not MISSING and not isinstance(found, (list, dict)) and value.compare(operator, found)

        return check


class Json:
    """`{ $.name = "value" && ($.list[0].id = 2 || $.other NOT EXISTS) }`."""

    SELECTOR = re.compile(r"\$(?:\.[A-Za-z0-9_\-]+|\[[0-9]+\])+$")

    def __init__(self, pattern):
        if not pattern.endswith("}"):
            raise Invalid(pattern)
        parser = Parser(pattern[1:-1])
        for kind, value in parser.tokens:
            if kind == "word" and value.startswith("$") and not self.SELECTOR.match(value):
                raise Invalid(f"selector {value!r}")
        self.tree = parser.parse()

    def matches(self, message):
        try:
            event = json.loads(message)
        except ValueError:
            return False
        return isinstance(event, dict) and self.tree(lambda selector: select(selector, event))


def select(selector, event):
    """The value at `$.users[0].id`. MISSING if there is none."""
    if not selector.startswith("$"):
        raise Invalid(f"expected a selector, got {selector!r}")
    for name, index in re.findall(r"\.([A-Za-z0-9_\-]+)|\[([0-9]+)\]", selector):
        if name:
            event = event.get(name, MISSING) if isinstance(event, dict) else MISSING
        else:
            event = event[int(index)] if isinstance(event, list) and int(index) < len(event) else MISSING
        if event is MISSING:
            break
    return event


# --- fields that spaces separate -----------------------------------------------------------------------


class Fields:
    """`[ip, user, ..., status = 4*, bytes > 1000]`. Text in brackets or in double quotes is one field of the message."""

    FIELD = re.compile(r'\[([^\]]*)\]|"([^"]*)"|(\S+)')

    def __init__(self, pattern):
        if not pattern.endswith("]"):
            raise Invalid(pattern)
        self.names, self.trees, regexes = [], [], 0
        for part in pattern[1:-1].split(","):
            part = part.strip()
            if part in ("", "...") or re.fullmatch(r"[A-Za-z0-9_]+", part):
                self.names.append(part)
                continue
            parser = Parser(part)
            regexes += sum(kind == "regex" for kind, _ in parser.tokens)
            self.names.append(parser.tokens[0][1])
            self.trees.append(parser.parse())
        if self.names.count("...") > 1 or regexes > MAX_REGEXES:
            raise Invalid(pattern)

    def matches(self, message):
        found = ["".join(groups) for groups in self.FIELD.findall(message)]
        names = self.names
        if "..." in names:
            place = names.index("...")
            more = len(found) - (len(names) - 1)
            if more < 0:
                return False
            names = names[:place] + [""] * more + names[place + 1 :]
        if len(names) != len(found):
            return False
        values = {name: value for name, value in zip(names, found) if name}
        return all(tree(lambda name: values.get(name, MISSING)) for tree in self.trees)
