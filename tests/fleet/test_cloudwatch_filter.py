"""The matcher of filter patterns, with the examples of the CloudWatch Logs User Guide."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from cloudwatch_filter import Invalid, matches  # noqa: E402

LOG = ["ERROR WARN message", "ERROR message", "WARN message"]
REQUESTS = [
    "[ERROR 400] BAD REQUEST",
    "[ERROR 401] UNAUTHORIZED REQUEST",
    "[ERROR 419] MISSING ARGUMENTS",
    "[ERROR 420] INVALID ARGUMENTS",
]
TRAIL = """{
  "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "arrayKey": ["value", "another value"],
  "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}], "SomeObject": null, "ThisFlag": true
}"""
USERS = """{
  "user": {"id": 1, "email": "John.Stiles@example.com"},
  "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
  "actions": ["GET", "PUT", "DELETE"], "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]]
}"""
APACHE = [
    '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534',
    '127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /apache_pb.gif HTTP/1.0" 500 5324',
    '127.0.0.1 - frank [10/Oct/2000:13:50:35 -0700] "GET /index.html HTTP/1.0" 404 4355',
]

# Pattern, messages, the places of those that match.
EXAMPLES = [
    ("", LOG, [0, 1, 2]),
    ('""', LOG, [0, 1, 2]),
    ("ERROR", ["[ERROR] A fatal exception has occurred", "Exiting with ERRORCODE: -1"], [0, 1]),
    ('"ERROR" - "Exiting"', ["[ERROR] A fatal exception has occurred", "Exiting with ERRORCODE: -1"], [0]),
    ("ERROR Exception", ["[ERROR] Caught IllegalArgumentException", "[ERROR] Unhandled Exception", "Exception"], [0, 1]),
    ("Failed to process the request", ["[WARN] Failed to process the request", "Failed the request"], [0]),
    ("ERROR", LOG, [0, 1]),
    ("error", LOG, []),
    ("?ERROR ?WARN", LOG, [0, 1, 2]),
    ("ERROR WARN", LOG, [0]),
    ("ERROR -WARN", LOG, [1]),
    ("ERROR ARGUMENTS", REQUESTS, [2, 3]),
    ("?ERROR ?ARGUMENTS", REQUESTS, [0, 1, 2, 3]),
    ('"INTERNAL SERVER ERROR"', ["[ERROR 500] INTERNAL SERVER ERROR", "ERROR INTERNAL"], [0]),
    ("ERROR -ARGUMENTS", REQUESTS, [0, 1]),
    # The question mark is ignored beside other terms.
    ("?MISSING REQUEST", REQUESTS, [0, 1]),
    ("%AUTHORIZED%", ["[ERROR 401] UNAUTHORIZED REQUEST", "[SUCCESS 200] AUTHORIZED REQUEST", "[ERROR 400]"], [0, 1]),
    ("%^[hc]at%", ["hat", "cat", "that"], [0, 1]),
    ("%[hc]at$%", ["that", "cats"], [0]),
    ("%colou?r%", ["color", "colour", "colr"], [0, 1]),
    ("%[abcx-z]%", ["y", "w"], [0]),
    ("%a{3,5}%", ["aa", "aaa"], [1]),
    ("%gray|grey%", ["gray", "grey", "gry"], [0, 1]),
    (r"%10\.10\.0\.1%", ["10.10.0.1", "10a10.0.1"], [0]),
    (r"%\d{1,3}\.\d{1,3}%", ["1.22", "a.b"], [0]),
    ('{ $.eventType = "UpdateTrail" }', [TRAIL, USERS, "eventType UpdateTrail"], [0]),
    ("{ $.eventType = *Trail }", [TRAIL], [0]),
    ("{ $.eventType = Up*ail }", [TRAIL], []),
    ("{ $.eventType = %Update|Delete% }", [TRAIL], [0]),
    ("{ $.sourceIPAddress != 123.123.* }", [TRAIL], [0]),
    ("{ $.sourceIPAddress = 111.111.* }", [TRAIL], [0]),
    ('{ $.arrayKey[0] = "value" }', [TRAIL, USERS], [0]),
    ("{ $.objectList[1].id = 2 }", [TRAIL], [0]),
    ("{ $.SomeObject IS NULL }", [TRAIL, USERS], [0]),
    ("{ $.SomeOtherObject NOT EXISTS }", [TRAIL], [0]),
    ("{ $.ThisFlag IS TRUE }", [TRAIL], [0]),
    ("{ $.ThisFlag IS FALSE }", [TRAIL], []),
    ("{ $.eventType = * }", [TRAIL, USERS], [0]),
    ("{$.foo = bar}", ['{"foo": "bar"}', '{"foo": "baz"}'], [0]),
    ("{$.foo = bar || $.foo = baz }", ['{"foo": "bar"}', '{"foo": "baz"}', '{"foo": "x"}'], [0, 1]),
    ('{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }', [USERS], [0]),
    ('{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }', [USERS], []),
    ('{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }', [USERS], [0]),
    ('{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch) && $.actions[2] = nomatch }', [USERS], []),
    ("{ $.users = 1 }", ['{"users": [1, 2, 3]}'], []),
    ("{ $.users != 1 }", ['{"users": [1, 2, 3]}'], []),
    ("{ $.latency >= 500 }", ['{"latency": 500}', '{"latency": 499.5}'], [0]),
    ("{ $.numbers[0] < 10e3 }", ['{"numbers": [9999]}', '{"numbers": [10000]}'], [0]),
    ("{ $.numbers[0] < 10e-3 }", ['{"numbers": [0.009]}', '{"numbers": [0.01]}'], [0]),
    ("{ $.processes[4].averageRuntime <= 55.5 }", ['{"processes": [0, 0, 0, 0, {"averageRuntime": 55.5}]}'], [0]),
    ("{ $.errorCode = 400 }", ['{"errorCode": 400}', '{"errorCode": 500}'], [0]),
    ("{ $.errorCode != 500 }", ['{"errorCode": 400}', '{"errorCode": 500}'], [0]),
    ("{ $.latency > +1000 }", ['{"latency": 1001}', '{"latency": 1000}'], [0]),
    ("[w1=ERROR, w2]", LOG, [1]),
    ("[w1=ERROR || w1=WARN, w2]", LOG, [1, 2]),
    ("[w1!=ERROR&&w1!=WARN, w2]", ["a b", "ERROR b"], [0]),
    ("[ip, user, username, timestamp, request, status_code, bytes]", APACHE, [0, 1, 2]),
    ("[..., status_code, bytes]", APACHE, [0, 1, 2]),
    ("[ip, user, ..., status_code, bytes]", APACHE, [0, 1, 2]),
    ("[ip, user, ...]", APACHE, [0, 1, 2]),
    ("[ip, user]", APACHE, []),
    ("[ip, user, username, timestamp, request, status_code, bytes > 1000]", APACHE, [0, 1, 2]),
    ("[ip, user, username, timestamp, request, status_code = 200, bytes]", APACHE, [0]),
    ("[ip, user, username, timestamp, request, status_code = 4*, bytes]", APACHE, [2]),
    ("[ip, user, username, timestamp, request = *html*, status_code = 4*, bytes]", APACHE, [2]),
    ("[ip, user, username, timestamp, request, status_code = 4* && bytes > 1000]", APACHE, []),
    ("[..., status_code = 4* && status_code != 403, bytes]", APACHE, [2]),
    ("[..., request=*.html*, status_code=4*,]", APACHE, [2]),
    ("[ip=%127\\.0\\.0\\.[1-9]%, ...]", APACHE, [0, 1, 2]),
]

INVALID = [
    "ERROR:", "-", 'un"closed', "%unclosed", "%a(b)%", "%something!%", "%two words%", "%[a%", "{ $.a }", "{ $.a = }", "{ a = 1 }",
    "{ $.a = 1", "{ $.a = b@c }", "{ $.a > b }", "{ ($.a = 1 }", "{ $.a = %1% || $.a = %2% || $.a = %3% }", "[..., a, ...]",
    "[a = 1", "x" * 1025,
]


class Examples(unittest.TestCase):
    def test_examples_of_the_guide(self):
        for pattern, messages, wanted in EXAMPLES:
            with self.subTest(pattern):
                found = [place for place, message in enumerate(messages) if matches(pattern, message)]
                self.assertEqual(found, wanted)

    def test_patterns_that_the_guide_does_not_define_are_refused(self):
        for pattern in INVALID:
            with self.subTest(pattern[:40]), self.assertRaises(Invalid):
                matches(pattern, '{"a": 1}')


if __name__ == "__main__":
    unittest.main()
