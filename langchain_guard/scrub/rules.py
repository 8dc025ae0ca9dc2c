"""What can be found: one row each. Adding a rule is adding a row; its examples are its tests.

Bounds on every repetition keep what has to be held back while a text streams short. Patterns use ASCII classes, so that a
value beside a letter of another script (``密码ghp_...``) has an edge there. Forms that look alike are told apart by checksums.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from itertools import groupby
from typing import TYPE_CHECKING

from langchain_guard.scrub import checksums as check
from langchain_guard.scrub.rows import Row, fake
from langchain_guard.scrub.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Letters of names: ASCII, Latin with marks, Greek, Cyrillic. Not CJK, where no space parts a name from the text before it.
_L = "A-Za-z\u00c0-\u024f\u0370-\u052f"
_AT = r"(?:@|＠|%40|\\u0040|&#(?:0{0,4}64|x0{0,4}40);|&commat;)"
_SPACE = "[ \u00a0\u2009\u202f]"
_GAP = "[ \u00a0\u2010-\u2013.-]"

_BASE64 = "[A-Za-z0-9+/=]"
_BREAK = r"(?:\r?\n|\\r|\\n|[ \t]){1,8}"
_NEWLINE = r"[ \t]{0,4}(?:\r?\n|(?:\\r)?\\n)"
_PEM_BODY = (
    rf"(?:{_BREAK}(?:[A-Za-z][A-Za-z-]{{2,30}}: [^\n]{{0,200}}|{_BASE64}{{16,}})"
    rf"|{_NEWLINE}{_BASE64}{{1,15}}(?=\r?\n|\\|-----|(?![\s\S]))|{_NEWLINE}(?=\r?\n|\\)){{0,1024}}"
)
_CJK = "\u3000-\u303f\uff00-\uffef"  # punctuation of scripts that put no space after it


def _iban_pattern() -> str:
    """Every country's IBAN at its exact length, in one piece or in groups of four."""
    lengths = sorted((length, country) for country, length in check.IBAN_LENGTHS.items())
    parts = []
    for length, group in groupby(lengths, key=lambda item: item[0]):
        fours, rest = divmod(length - 4, 4)
        last = f"(?:[ \u00a0-]?[A-Z0-9]{{{rest}}})" if rest else ""
        countries = "|".join(country for _, country in group)
        parts.append(rf"(?:{countries})\d\d(?:[ {chr(0xA0)}-]?[A-Z0-9]{{4}}){{{fours}}}{last}")
    return rf"(?<!\w)(?=[A-Za-z][A-Za-z]\d\d)(?i:{'|'.join(parts)})(?!\w)"


_DATABASES = "postgres(?:ql)?|mysql|mariadb|mongodb|redis|rediss|amqps?|mssql|sqlserver|oracle|clickhouse|cockroachdb|snowflake|redshift|cassandra|couchbase|neo4j|bolt|ldaps?|kafka|nats|influxdb|db2|sqlite|jdbc:[a-z0-9]{2,20}"
_USERINFO = r"[^\s/:@\"'<>`?#]{0,64}:[^\s@\"'<>`/?#]{1,128}@"
_HOST = rf"(?:\[[0-9A-Fa-f:.]{{2,45}}\])?[^\s\"'<>`)\]{_CJK}]{{0,2000}}(?<![.,;:!?])"

_BEFORE_VALUE = (
    r"(?i:(?:pass(?:word|wd|phrase|code)|(?<![A-Za-z])(?:pass|pwd|pw|passwort|senha)))(?:[\"'`]|\*{2})?"
    r"(?:\s{0,2}(?:=>|:=|=|:)\s{0,2}|\s(?:(?:is|was)(?: now)?|to|of):?\s{1,2}|\s{1,2}(?=[\"'`]))(?:\*{2}\s?)?"
)

CORE: tuple[Row, ...] = (
    # Keys and tokens with a form of their own
    Row(
        "private_key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        + _PEM_BODY
        + rf"(?:(?:{_BREAK})?-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----)?",
        "RFC 7468; RFC 4880 section 6.2; PROTOCOL.key of OpenSSH",
        hits=(
            "-----BEGIN RSA PRIVATE KEY-----\n" + fake(64) + "\n" + fake(20) + "==\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN OPENSSH PRIVATE KEY-----\\n" + fake(64) + "\\n-----END OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: Fake 1\n\n"
            + fake(64)
            + "\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
            "-----BEGIN EC PRIVATE KEY-----\n" + fake(64),
        ),
        misses=("-----BEGIN CERTIFICATE-----\n" + fake(64), "-----BEGIN PUBLIC KEY-----\n" + fake(64)),
        longest=8192,
    ),
    Row(
        "private_key",
        r"PuTTY-User-Key-File-[23]: [^\n]{0,100}(?:\r?\n(?:[A-Za-z-]{3,30}: [^\n]{0,200}|"
        + _BASE64
        + r"{1,80})){0,800}",
        "putty.org.uk, appendix C of the manual (PPK)",
        hits=(
            "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\n"
            + fake(48)
            + "\nPrivate-MAC: 0fade",
        ),
    ),
    Row(
        "jwt",
        r"(?<![\w-])ey[JI][\w-]{8,}\.(?:ey[JI][\w-]{8,}(?:\.[\w-]{0,1024})?|[\w-]{0,1024}\.[\w-]{8,64}\.[\w-]{8,}\.[\w-]{8,64})",
        "RFC 7519, RFC 7516",
        hits=(
            "eyJ" + fake(20) + ".eyJ" + fake(40) + "." + fake(43),
            "eyJ" + fake(20) + "..fakeIV01234." + fake(40) + "." + fake(22),
        ),
        misses=("eyJhbGci.eyJ",),
        longest=8192,
    ),
    # Credentials told by what stands around them
    Row(
        "connection_string",
        rf"(?<![\w+.-])(?i:(?:{_DATABASES})(?:\+[a-z0-9]{{1,20}})?)://{_USERINFO}{_HOST}",
        "RFC 3986 section 3.2.1",
        hits=("postgresql+psycopg://app:fake-pass1@db.example.com:5432/orders", "redis://:fakepass1@cache:6379/0"),
        misses=("postgres://localhost/orders",),
    ),
    Row(
        "connection_string",
        r"(?i:(?<![A-Za-z])(?:server|data source|host|endpoint|user id|uid)\s?=[^;\n\"']{1,200};(?:[\w ]{2,40}=[^;\n\"']{0,200};){0,10}\s?(?:password|pwd|sharedaccesskey|accountkey)\s?=[^;\s\"'\u3000-\u303f\uff00-\uffef]{1,200}(?<![.,)]))",
        "learn.microsoft.com/dotnet/api/system.data.sqlclient.sqlconnection.connectionstring",
        hits=("Server=db.example.com;Database=x;User Id=app;Password=fake-pass1",),
    ),
    Row(
        "url_credentials",
        rf"(?<![\w+.-])[A-Za-z][A-Za-z0-9+.-]{{1,20}}://{_USERINFO}{_HOST}",
        "RFC 3986 section 3.2.1",
        hits=("https://user:fake-pass1@example.com/x?y=1", "ftp://u:p%40ss@[2001:db8::7]:21/a"),
        misses=("https://example.com:8080/a@b", "https://user@example.com/", "git@github.com:org/repo"),
    ),
    Row(
        "http_authorization",
        r"(?i:authorization|x-api-key|api-key|x-auth-token|private-token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?i:(?:bearer|basic|token|apikey|digest)\s{1,3})?(?P<value>[\w+/.~-]{12,}={0,2})",
        "RFC 9110 section 11.6.2; RFC 6750",
        check=check.is_generic_secret,
        hits=("Authorization: Bearer " + fake(40), "-H 'X-Api-Key: " + fake(32) + "'"),
        misses=("Authorization: Bearer <token>", "authorization: required"),
    ),
    Row(
        "http_authorization",
        r"(?<![A-Za-z])(?i:bearer)\s{1,3}(?P<value>[\w+/.~-]{20,}={0,2})",
        "RFC 6750",
        check=check.is_generic_secret,
        hits=("bearer " + fake(40),),
        misses=("bearer of good news", "Bearer ${TOKEN_FROM_ENVIRONMENT_1}"),
    ),
    Row(
        "http_authorization",
        r"(?i:(?<![\w-])(?:-u|--user|--proxy-user))[ =]{1,2}(?P<value>\"[^\"\s:]{0,64}\":\"[^\"\n]{3,64}\"|\"[^\"\n:]{0,64}:[^\"\n]{0,64}\"|'[^'\n:]{0,64}:[^'\n]{0,64}'|[^\s\"':$<{]{0,64}:[^\s\"'/<{][^\s\"']{2,64})",
        "curl.se/docs/manpage.html#-u",
        check=check.is_user_and_password,
        hits=("curl -u bob:fake-pass1 https://example.com", 'curl --user "api:fake-key1" x'),
        misses=("docker run -u 1000:1000 image", "curl -u $USER:$PASS x"),
    ),
    *(
        Row(
            "password",
            _BEFORE_VALUE + value,
            "gitleaks and detect-secrets (the words); the value by its characters",
            check=check.is_password,
            hits=hits,
            misses=misses,
        )
        for value, hits, misses in (
            (
                r"(?P<quote>[\"'`])(?P<value>[^\"'`\n]{4,128})(?P=quote)",
                ('"password": "fake pass word"', "password = 'Fake-pass1'"),
                ('"password": "string"', "password = 'required'"),
            ),
            (
                rf"(?P<value>[^\s\"'`<>,;{_CJK}]{{3,127}}(?<![.:)\]}}]))",
                ("DB_PASSWORD=Fake1234!", "my password is hunter2.", "pwd: Tr0ub4dor&3"),
                ("password: ${DB_PASS}", "password is incorrect", "password = os.environ['X1']", "passwords: many"),
            ),
        )
    ),
    Row(
        "generic_secret",
        r"(?i:(?<!public)(?<!public[_-])(?:(?:api|access|auth|secret|private|client|signing|encryption|webhook|app|account|master|service|session|refresh|user|consumer|deploy|admin|license|shared|bot|storage)"
        r"[_. -]?(?:key|token|secret|credential|creds|pass)|secret|token|apikey)s?[\w.-]{0,16})"
        r"(?:[\"'`]|\*{1,2})?\s{0,3}(?:=>|:=|=|:)\s{0,3}[\"'`]?(?P<value>[\w+/.~-]{16,}={0,2})",
        "gitleaks (generic-api-key)",
        check=check.is_generic_secret,
        hits=("api_key = '" + fake(32) + "'", "client_secret: " + fake(24)),
        misses=(
            "api_key: ${API_KEY}",
            "token: none",
            "public_key = " + fake(43),
            "secret_host: dev-lb1.api.example.com",
        ),
    ),
    # Personal data
    Row(
        "email",
        rf"(?<!\w)(?<![{_L}])[{_L}0-9](?:[{_L}0-9_.+'-]|%(?!40)){{0,63}}{_AT}(?:[{_L}0-9](?:[{_L}0-9-]{{0,61}}[{_L}0-9])?[.．。]){{1,8}}"
        rf"[{_L}]{{2,24}}(?![\w@]|-\w|:[A-Za-z])",
        "RFC 5322 section 3.4.1, RFC 6531",
        group="pii",
        hits=(
            "bob.smith+x@mail.example.com",
            "o'brien@example.com",
            "bob＠example.com",
            "bob%40example.com",
            "bob\\u0040example.com",
        ),
        misses=("git@github.com:org/repo", "user@host", "@example.com"),
    ),
    Row(
        "phone",
        rf"(?<![\w.+-])(?:\(\+\d{{1,3}}\)|\+\d{{1,3}}|00[1-9]\d{{0,2}}{_GAP})(?:{_GAP}{{0,2}}\(\d{{1,4}}\))?(?:{_GAP}|/){{0,2}}\d(?:(?:{_GAP}|[/()]){{0,2}}\d){{5,13}}(?:\s?(?:x|ext\.?)\s?\d{{1,5}})?(?!\w|-\d|\.\d)",
        "ITU-T E.164, E.123",
        check=check.is_phone_shape,
        group="pii",
        hits=("+44 (0)20 7946 0958", "+1-202-555-0143", "+12025550143"),
        misses=("+1 point", "a+1234567890b"),
        mask=True,
    ),
    Row(
        "phone",
        rf"(?<![\w.+-])(?<!\d[ -])(?:1{_GAP})?(?:\(\d{{3}}\)[ \u00a0]?|\d{{3}}{_GAP})\d{{3}}{_GAP}\d{{4}}(?:\s?(?:x|ext\.?)\s?\d{{1,5}})?(?!\w|-\d|\.\d)",
        "nationalnanpa.com (North American Numbering Plan)",
        check=check.is_phone_shape,
        group="pii",
        hits=("(202) 555-0143", "202-555-0143", "202.555.0143 x12"),
        misses=("978-2-17-050276-4", "123-456-7890-1"),
        mask=True,
    ),
    Row(
        "credit_card",
        rf"(?<![\w.-])(?:\d{{12,19}}|\d{{4}}(?P<gap>{_SPACE}|[\u2010-\u2013.-])\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{1,4}}(?:(?P=gap)\d{{1,3}})?|\d{{4}}(?P<gap2>{_SPACE}|[\u2010-\u2013-])\d{{6}}(?P=gap2)\d{{4,5}})(?![\w-]|\.\d)",
        "ISO/IEC 7812-1",
        check=check.is_card,
        group="pii",
        hits=("4111 1111 1111 1111", "378282246310005", "3782 822463 10005", "6011-1111-1111-1117"),
        misses=("4111 1111 1111 1112", "1234-5678-1234-5678", "1705506099123"),
        mask=True,
    ),
    Row(
        "iban",
        _iban_pattern(),
        "ISO 13616",
        check=check.is_iban,
        group="pii",
        hits=("DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "NO93 8601 1117 947"),
        misses=("DE89370400440532013001", "GB82WEST"),
    ),
    Row(
        "us_ssn",
        r"(?<![\w.-])\d{3}(?P<gap>[ \u00a0\u2010-\u2013-])\d{2}(?P=gap)\d{4}(?![\w-]|\.\d)",
        "ssa.gov/employer/randomization.html",
        check=lambda text: check.is_ssn(text) or (text[0] == "9" and check.is_itin(text)),
        group="pii",
        hits=("536-90-4399", "912-70-1234"),
        misses=("000-12-3456", "666-12-3456", "123-00-4567", "912-10-1234"),
    ),
    Row(
        "us_ssn",
        r"(?i:(?<![A-Za-z])(?:ssn|social security(?: number| no\.?| #)?|itin))[\s:#=\"'(]{0,4}(?:is\s)?(?P<value>\d{9})(?![\w-])",
        "ssa.gov/employer/randomization.html",
        check=lambda text: check.is_ssn(text) or (text[0] == "9" and check.is_itin(text)),
        group="pii",
        hits=("SSN: 536904399",),
        misses=("order 536904399",),
    ),
    Row(
        "ipv4",
        r"(?<![\w.-])(?<!(?i:version|section|release|chapter) )(?<!(?i:ver|rel)[ .])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\w)",
        "RFC 791; RFC 5737 for what is left alone",
        check=check.is_ipv4,
        group="pii",
        hits=("10.20.30.140", "8.8.4.40"),
        misses=("127.0.0.1", "0.1.20.30", "192.0.2.7", "1.2.3.4", "v10.20.30.40", "Version 10.20.30.40", "256.1.1.1"),
    ),
    Row(
        "ipv6",
        r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:|:(?=:)){1,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?:(?<=:\d)\d{0,2}(?:\.\d{1,3}){3}|(?:\.\d{1,3}){3})?(?:%[A-Za-z0-9]{1,16})?(?![\w:]|\.\d)",
        "RFC 4291; RFC 3849 for what is left alone",
        check=lambda text: check.is_ipv6(text.partition("%")[0]),
        group="pii",
        hits=("2a00:1450:4001:81b::200e", "fe80::a627:ebfe:1dd5:f756", "::ffff:10.20.30.40"),
        misses=("::1", "::", "std::vector", "fe80::", "2001:db8::1", "12:30:45", "LWP::UserAgent"),
    ),
    Row(
        "mac",
        r"(?<![\w:-])[0-9A-Fa-f]{2}(?P<gap>[:-])(?:[0-9A-Fa-f]{2}(?P=gap)){4}[0-9A-Fa-f]{2}(?![\w:-])",
        "IEEE 802",
        check=check.is_mac,
        group="pii",
        hits=("09:3a:8e:1c:00:91", "D4-F6-2F-02-49-8A"),
        misses=("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "09:3a:8e:1c:00:91:22"),
    ),
    Row(
        "mac",
        r"(?<![\w.-])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w-]|\.\w)",
        "the notation of Cisco IOS",
        check=lambda text: (
            check.is_mac(text) and any(char.isalpha() for char in text) and any(char.isdigit() for char in text)
        ),
        group="pii",
        hits=("001a.2b3c.4d5e",),
        misses=("1234.5678.9012", "face.cafe.dead"),
    ),
    Row(
        "crypto_wallet",
        r"(?<!\w)(?:(?:bc|tb|ltc)1[a-z0-9]{25,71}|(?:BC|TB|LTC)1[A-Z0-9]{25,71}|0x[0-9a-fA-F]{40}|[13LMDT][1-9A-HJ-NP-Za-km-z]{25,34}|[5KL][1-9A-HJ-NP-Za-km-z]{50,51}|xp(?:ub|rv)[1-9A-HJ-NP-Za-km-z]{107})(?!\w)",
        "BIP 173, BIP 350, BIP 32, Base58Check, EIP-55",
        check=check.is_wallet,
        group="pii",
        hits=(
            "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "0xc32f9a3ef8714db20bf77d1662a71088043bcd84",
        ),
        misses=("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "0x" + "0" * 40, "0xc32f9a3ef8714db20bf77d1662a71088043bcd8"),
    ),
    # Only when asked for
    Row(
        "url",
        rf"(?<!\w)(?i:https?|ftp)://[^\s<>\"'`)\]}}{_CJK}]{{1,2000}}(?<![.,;:!?])",
        "RFC 3986",
        group="opt-in",
        hits=("https://intra.example.com/reset?token=abc",),
        misses=("http:// nothing",),
    ),
    Row(
        "high_entropy",
        r"(?<![\w+/=-])[A-Za-z0-9+/_-]{32,64}={0,2}(?![\w+/=-])",
        "detect-secrets (Base64HighEntropyString)",
        check=check.is_high_entropy,
        group="opt-in",
        hits=("aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA2bC4dF6g",),
        misses=("732f51d4-033a-47be-baf4-c4d2a22f9368", "9a26c8ff77fcfb42bd86fc22e646a7650d39b8ca"),
    ),
    *(
        Row(
            f"{country}_{name}",
            pattern,
            f"python-stdnum, stdnum.{module}",
            check=partial(check.is_national_id, module),
            group="opt-in",
            hits=(hit,),
            misses=(miss,),
        )
        for country, name, module, pattern, hit, miss in (
            ("es", "dni", "es.dni", r"(?<!\w)\d{8}-?[A-Z](?!\w)", "54362315K", "54362315A"),
            ("es", "nie", "es.nie", r"(?<!\w)[XYZ]-?\d{7}-?[A-Z](?!\w)", "X2482300W", "X2482300A"),
            ("pl", "pesel", "pl.pesel", r"(?<![\w.-])\d{11}(?![\w-]|\.\d)", "44051401359", "44051401358"),
            (
                "br",
                "cpf",
                "br.cpf",
                r"(?<![\w.-])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![\w-])",
                "390.533.447-05",
                "231.002.999-00",
            ),
            ("gb", "nhs", "gb.nhs", r"(?<![\w.-])\d{3}[ -]?\d{3}[ -]?\d{4}(?![\w-])", "943-476-5870", "943-476-5871"),
            (
                "in",
                "aadhaar",
                "in_.aadhaar",
                r"(?<![\w.-])[2-9]\d{3} ?\d{4} ?\d{4}(?![\w-])",
                "234123412346",
                "234123412347",
            ),
            ("in", "pan", "in_.pan", r"(?<!\w)[A-Z]{5}\d{4}[A-Z](?!\w)", "ACUPA7085R", "ABMXA3211G"),
            (
                "de",
                "steuer_id",
                "de.idnr",
                r"(?<![\w.-])\d{2} ?\d{3} ?\d{3} ?\d{3}(?![\w-])",
                "36 574 261 809",
                "36574261890",
            ),
        )
    ),
)

ROWS: tuple[Row, ...] = (*CORE, *VENDORS)

KINDS: Mapping[str, str] = {row.kind: row.group for row in ROWS}
"""Every kind and its group: "secrets", "pii" or "opt-in"."""

MASKED = frozenset(row.kind for row in ROWS if row.mask)
"""Kinds of which masking keeps the last four characters."""

_NATIONAL = rf"(?<![\w.+#-])(?<!\d[ .-])\(?\d{{1,5}}\)?(?:(?:{_GAP}|[/()]){{0,2}}\d{{1,5}}){{1,7}}(?!\w|-\d|\.\d)"
_CALLED = (
    r"(?i:(?<![a-z])(?:(?:tele|cell|mobile )?phone|mobile|cell|tel|fax|whatsapp|sms|call(?:ing|ed)?|dial|answering|reach|messages?|desk|office))"
    rf"(?![a-z])[^\d+()]{{0,24}}(?P<value>\(?\d{{1,5}}\)?(?:(?:{_GAP}|/){{1,2}}\d{{1,5}}){{1,6}}|\d{{7,11}})(?!\w|-\d|\.\d)"
)


@lru_cache(maxsize=16)
def phone_rows(region: str) -> tuple[Row, ...]:
    """The rows that find national forms of phone numbers: those that are valid, and those that a word announces.

    Raises:
        ConfigError: The extra ``pii`` is not installed, or the region is unknown.
    """
    source = "github.com/google/libphonenumber"
    valid = partial(_dialled, check.phone_check(region))
    return (
        Row("phone", _NATIONAL, source, check=valid, group="pii", mask=True),
        Row("phone", _CALLED, source, check=_announced, group="pii", mask=True),
    )


_DECIMAL = re.compile(r"\d+\.\d+")


def _dialled(valid: Callable[[str], bool], text: str) -> bool:
    return 6 <= _digits(text) <= 15 and not _DECIMAL.fullmatch(text) and valid(text)


def _announced(text: str) -> bool:
    return 7 <= _digits(text) <= 13 and not _DECIMAL.fullmatch(text)


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)
