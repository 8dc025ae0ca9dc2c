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
from langchain_guard.scrub.rows import EDGE, END, NUMBER_EDGE, NUMBER_END, Row, fake
from langchain_guard.scrub.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Letters of names: ASCII, Latin with marks, Greek, Cyrillic. Not CJK, where no space parts a name from the text before it.
_L = "A-Za-z\u00c0-\u024f\u0370-\u052f"
_AT = r"(?:@|＠|%40|\\u0040|&#(?:0{0,4}64|x0{0,4}40);|&commat;)"
_SPACE = "[ \u00a0\u2009\u202f]"
_PHONE_END = r"(?![A-Za-z0-9]|_[A-Za-z0-9]|-\d|\.\d)"
_GAP = "[ \u00a0\u2010-\u2013.-]"

_BASE64 = "[A-Za-z0-9+/=]"
# Between two lines of a key: a line end or its escape, with what ends a line of a program's string (`" +`) before it and
# what begins a quoted or commented line (`> `) after it; or only white space. No part can be read in two ways.
_NEWLINE = r"[ \t\"',;]{0,4}(?:(?<=[ \t\"'])\+ ?)?\\?(?:\r?\n|(?<=\\)n|(?<=\\)r\\n)"
_PREFIX = r"(?:[ \t>#|*\"']|[+/](?=[ \t/\"'])|\r?\n|\\[nr]){0,16}+"
_BREAK = rf"(?:{_NEWLINE}{_PREFIX}|[ \t]{{1,8}})"
_PEM_BODY = (
    rf"(?:{_BREAK}(?:{_BASE64}{{16,}}+|[A-Za-z][A-Za-z-]{{2,30}}: (?:[^\n\\]|\\(?![nr])){{0,200}})"
    rf"|{_NEWLINE}{_PREFIX}{_BASE64}{{1,15}}+(?=\r?\n|[\"'`)\]}};\\]|-----|(?![\s\S]))){{0,1024}}+"
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
    return rf"{EDGE}(?=[A-Za-z][A-Za-z]\d\d)(?i:{'|'.join(parts)}){END}"


# An address may follow a label and its colon (`ip:fe80::1`), but not the colon of a longer chain of groups.
_AFTER_LABEL = r"(?<!::)(?<!\d:)" + "".join(rf"(?<![^A-Za-z][0-9A-Fa-f]{{{size}}}:)" for size in range(1, 5))
_ADDRESS_END = r"(?![A-Za-z0-9]|_[A-Za-z0-9]|:[\w:]|\.\d)"

_DATABASES = "postgres(?:ql)?|mysql|mariadb|mongodb|redis|rediss|amqps?|mssql|sqlserver|oracle|clickhouse|cockroachdb|snowflake|redshift|cassandra|couchbase|neo4j|bolt|ldaps?|kafka|nats|influxdb|db2|sqlite|jdbc:[a-z0-9]{2,20}"
_URL_EDGE = EDGE + r"(?<![+.\\-])"
_USERINFO = r"[^\s/:@\"'<>`?#]{0,64}:[^\s@\"'<>`/?#]{1,128}@"
_HOST = rf"(?:\[[0-9A-Fa-f:.]{{2,45}}\])?[^\s\"'<>`)\]{_CJK}]{{0,2000}}(?<![.,;:!?])"

_STOP = "\u00a0\u00ab\u00bb\u2000-\u206f" + _CJK  # no part of a value: spaces and quotation marks beyond ASCII
# Each first letter once, so that one character decides between them.
_FIRST_KEY = (
    "server|d(?:ata(?: source|base)|river|efaultendpointsprotocol)|host(?:name)?|endpoint|u(?:id|ser(?:name| id)?)|initial catalog"
    "|provider|a(?:ddr(?:ess)?|ccount(?:name|endpoint))|network address|blobendpoint"
)

_BEFORE_VALUE = (
    r"(?i:(?:pass(?:word|wd|phrase|code)|(?<!(?<!\\)[A-Za-z])(?:pass|pwd|(?:root)?pw|passwort|senha)))(?:[\"'`]|\*{2})?"
    r"(?:\s{0,2}(?:=>|:=|=|:)\s{0,2}|\s(?:(?:is|was)(?: now)?|to|of):?\s{1,2}|\s{1,2}(?=[\"'`])|\s{1,3}value=|>|\s?\|\s?)(?:\*{2}\s?)?"
)
_QUOTED_VALUE = r"(?P<quote>[\"'`])(?P<value>[^\"'`\n]{4,128})(?P=quote)"
_BARE_VALUE = rf"(?P<value>[^\s\"'`<>,;{_STOP}]{{3,127}}(?<![.:)\]}}]))"
# Words that other languages have for a password. The case of letters beyond ASCII is spelled out: patterns are ASCII only.
_OTHER_WORDS = (
    "[Mm]ot de passe|[Cc]ontrase(?:ñ|n|&ntilde;)a|[Cc]lave|[Ww]achtwoord|[Hh]asło|[Hh]eslo|[Ll](?:ö|o)senord|[Pp]arola|[Şş]ifre|[Kk]ennwort|[Pp]assord"
    "|[Aa]dgangskode|[Ss]alasana|[Pp]alavra-passe|[Пп]арол[ьяю]|密码|密碼|口令|パスワード|비밀번호|암호|كلمة المرور|كلمة السر"
)
_BEFORE_OTHER = rf"(?<!(?<!\\)[A-Za-z])(?:{_OTHER_WORDS})(?:[\"'`]|\*{{2}})?\s{{0,2}}(?:[=:：]|(?:是|は|es|est|is|ist|è|é):?(?![A-Za-z]))\s{{0,2}}"
# Programs and files that take a password after a space.
_BEFORE_WORD = (
    rf"(?:{EDGE}(?<!-)"
    r"(?i:--?(?:[a-z]{1,20}-){0,3}(?:password|passwd|passphrase))|(?i:(?<!(?<!\\)[A-Za-z])(?:requirepass|masterauth|identified by|sshpass -p))"
    r"|(?i:login\s{1,3}[^\s]{1,64}\s{1,8}password)|ENV [A-Z_]{0,40}(?:PASSWORD|PASSWD))\s{1,3}"
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
        EDGE
        + r"(?<!-)ey[JI][\w-]{8,}\.(?:ey[JI][\w-]{8,}(?:\.[\w-]{0,1024})?|[\w-]{0,1024}\.[\w-]{8,64}\.[\w-]{8,}\.[\w-]{8,64})",
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
        rf"{_URL_EDGE}(?i:(?:{_DATABASES})(?:\+[a-z0-9]{{1,20}})?)://{_USERINFO}{_HOST}",
        "RFC 3986 section 3.2.1",
        hits=("postgresql+psycopg://app:fake-pass1@db.example.com:5432/orders", "redis://:fakepass1@cache:6379/0"),
        misses=("postgres://localhost/orders",),
    ),
    Row(
        "connection_string",
        rf"(?i:(?<!(?<!\\)[A-Za-z])(?:{_FIRST_KEY})\s?=[^;\n\"']{{1,200}};(?:[\w ]{{2,40}}=[^;\n\"']{{0,200}};){{0,10}}\s?(?:password|pwd|sharedaccesskey|accountkey)"
        rf"\s?=(?:[^;\s\"'{_STOP}]{{1,200}})(?:;[\w ]{{2,40}}=[^;\s\"'<>{_STOP}]{{1,200}}){{0,10}}(?:(?<![.,)\]>]);?))",
        "learn.microsoft.com/dotnet/api/system.data.sqlclient.sqlconnection.connectionstring",
        hits=(
            "Server=db.example.com;Database=x;User Id=app;Password=fake-pass1",
            "DefaultEndpointsProtocol=https;AccountName=app;AccountKey="
            + fake(86)
            + "==;EndpointSuffix=core.windows.net",
            "HostName=app.azure-devices.net;DeviceId=d1;SharedAccessKey=" + fake(43) + "=",
        ),
    ),
    Row(
        "connection_string",
        rf"(?i:(?<!(?<!\\)[A-Za-z])(?:host|hostaddr|dbname|user|port)=[^\s\"'=]{{1,200}} (?:[a-z_]{{2,24}}=[^\s\"'=]{{1,200}} ){{0,10}}password=[^\s\"'{_STOP}]{{1,200}}"
        rf"(?: [a-z_]{{2,24}}=[^\s\"'={_STOP}]{{1,200}}){{0,10}}(?<![.,)\]>]))",
        "postgresql.org/docs/current/libpq-connect.html",
        hits=("host=db.example.com port=5432 user=app password=fake-pass1 sslmode=require",),
        misses=("user=app password_file=/run/x", "host=db.example.com port=5432"),
    ),
    Row(
        "connection_string",
        rf"(?i:(?<!(?<!\\)[A-Za-z])jdbc:[a-z0-9]{{2,20}}:)(?:(?i:[a-z0-9]{{1,20}}:){{0,2}}[\w.-]{{1,64}}/[^\s\"'<>@]{{1,128}}@|[^\s\"'<>?;]{{0,200}}[?;](?:[\w.]{{1,40}}=[^\s\"'<>;&]{{0,200}}[;&]){{0,10}}(?i:password|pwd)=)[^\s\"'<>{_STOP}]{{1,500}}(?<![.,)\]])",
        "jdbc.postgresql.org; docs.oracle.com (JDBC URLs)",
        hits=(
            "jdbc:postgresql://db.example.com:5432/x?user=app&password=fake-pass1&ssl=true",
            "jdbc:sqlserver://db.example.com:1433;databaseName=x;user=app;password=fake-pass1;",
            "jdbc:oracle:thin:app/fake-pass1@db.example.com:1521:xe",
        ),
        misses=("jdbc:postgresql://db.example.com:5432/orders?ssl=true",),
    ),
    Row(
        "url_credentials",
        rf"{_URL_EDGE}[A-Za-z][A-Za-z0-9+.-]{{1,20}}://{_USERINFO}{_HOST}",
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
        r"(?<!(?<!\\)[A-Za-z])(?i:bearer)\s{1,3}(?P<value>[\w+/.~-]{20,}={0,2})",
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
            before + value,
            "gitleaks and detect-secrets (the words); the value by its characters",
            check=check.is_password,
            hits=hits,
            misses=misses,
        )
        for before, value, hits, misses in (
            (
                _BEFORE_VALUE,
                _QUOTED_VALUE,
                (
                    '"password": "fake pass word"',
                    "password = 'Fake-pass1'",
                    '<add key="DbPassword" value="fake-pass1"/>',
                ),
                ('"password": "string"', "password = 'required'"),
            ),
            (
                _BEFORE_VALUE,
                _BARE_VALUE,
                (
                    "DB_PASSWORD=Fake1234!",
                    "my password is hunter2.",
                    "pwd: Tr0ub4dor&3",
                    "<password>fake-pass1</password>",
                    "| password | fake-pass1 |",
                ),
                (
                    "password: ${DB_PASS}",
                    "password is incorrect",
                    "password = os.environ['X1']",
                    "passwords: many",
                    "password: !vault |",
                    "password = hash_password(text1)",
                    "pwd: /home/user1/project",
                    "| password | string |",
                ),
            ),
            (
                _BEFORE_OTHER,
                "[\"'`]?" + _BARE_VALUE,
                ("contraseña: fake-pass1", "mot de passe : fake-pass1", "пароль: fake1pass", "密码：fake-pass1"),
                ("mot de passe : oublié", "密码：请输入", "пароль: ${DB_PASS}"),
            ),
            (
                _BEFORE_WORD,
                "[\"'`]?" + _BARE_VALUE,
                (
                    "--password fake-pass1",
                    "ENV DB_PASSWORD fake-pass1",
                    "requirepass fake-pass1",
                    "identified by 'fake-pass1'",
                    "machine x login app password fake-pass1",
                    "sshpass -p 'fake-pass1' ssh x",
                ),
                ("--password-stdin x1", "requirepass is not set", "--password $PASS1", "login app password is wrong"),
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
    Row(
        "generic_secret",
        r"(?<=[A-Z0-9]_)(?<!PUBLIC_)(?<!CACHE_)(?<!PRIMARY_)(?<!FOREIGN_)(?<!SORT_)(?<!PARTITION_)(?:KEY|PAT|CREDENTIALS?)[\"']?\s{0,3}[:=]\s{0,3}[\"'`]?(?P<value>[\w+/.~-]{20,}={0,2})",
        "gitleaks (generic-api-key)",
        check=check.is_generic_secret,
        hits=("BRANCH_IO_KEY: " + fake(32), "CI_PAT='" + fake(40) + "'"),
        misses=("CACHE_KEY=" + fake(32), "VERSION_KEY=v2-beta-2024-05-01-preview"),
    ),
    Row(
        "generic_secret",
        rf"(?i:(?<!(?<!\\)[A-Za-z])(?:[a-z]{{1,20}}[_.-]){{0,3}}(?:secret|api|auth|access|encryption|signing)[_-]?(?:key|token|secret)(?:_base)?)\s{{0,3}}(?:=>|:=|=|:)\s{{0,3}}(?P<quote>[\"'`])(?P<value>[^\s\"'`<>{{}}{_STOP}]{{24,200}})(?P=quote)",
        "docs.djangoproject.com/en/stable/ref/settings/#secret-key",
        check=check.is_generic_secret,
        hits=("SECRET_KEY = 'django-insecure-fake0!x1@y2#z3(q4*w5)'",),
        misses=("secret_key = 'https://example.com/a/path/of/words'", "api_key = '$(vault-read-secret-key)'"),
    ),
    # Personal data
    Row(
        "email",
        rf"{EDGE}(?<![\u00c0-\u024f\u0370-\u052f])(?![nrt](?<=\\[nrt]))[{_L}0-9_](?:[{_L}0-9_.+'-]|%(?!40)){{0,63}}{_AT}(?:[{_L}0-9](?:[{_L}0-9-]{{0,61}}[{_L}0-9])?[.．。]){{1,8}}"
        rf"(?:(?i:xn--)[A-Za-z0-9-]{{2,59}}|[{_L}]{{2,24}})(?![A-Za-z0-9@]|_[A-Za-z0-9]|-\w|:[A-Za-z])",
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
        rf"{NUMBER_EDGE}(?<!\+)(?:\(\+\d{{1,3}}\)|\+\d{{1,3}}|00[1-9]\d{{0,2}}{_GAP})(?:{_GAP}{{0,2}}\(\d{{1,4}}\))?(?:{_GAP}|/){{0,2}}\d(?:(?:{_GAP}|[/()]){{0,2}}\d){{5,13}}(?:\s?(?:x|ext\.?)\s?\d{{1,5}})?{_PHONE_END}",
        "ITU-T E.164, E.123",
        check=check.is_phone_shape,
        group="pii",
        hits=("+44 (0)20 7946 0958", "+1-202-555-0143", "+12025550143"),
        misses=("+1 point", "a+1234567890b"),
        mask=True,
    ),
    Row(
        "phone",
        rf"{NUMBER_EDGE}(?<!\+)(?<!\d[ -])(?:1{_GAP})?(?:\(\d{{3}}\)[ \u00a0]?|\d{{3}}{_GAP})\d{{3}}{_GAP}\d{{4}}(?:\s?(?:x|ext\.?)\s?\d{{1,5}})?{_PHONE_END}",
        "nationalnanpa.com (North American Numbering Plan)",
        check=check.is_phone_shape,
        group="pii",
        hits=("(202) 555-0143", "202-555-0143", "202.555.0143 x12"),
        misses=("978-2-17-050276-4", "123-456-7890-1"),
        mask=True,
    ),
    Row(
        "credit_card",
        rf"{NUMBER_EDGE}(?:\d{{12,19}}|\d{{4}}(?P<gap>{_SPACE}|[\u2010-\u2013.-])\d{{4}}(?P=gap)\d{{4}}(?:(?P=gap)\d{{1,4}}(?:(?P=gap)\d{{1,3}})?)?|\d{{4}}(?P<gap2>{_SPACE}|[\u2010-\u2013.-])\d{{6}}(?P=gap2)\d{{4,5}}){NUMBER_END}",
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
        rf"{NUMBER_EDGE}\d{{3}}(?P<gap>[ \u00a0\u2010-\u2013-])\d{{2}}(?P=gap)\d{{4}}{NUMBER_END}",
        "ssa.gov/employer/randomization.html",
        check=lambda text: check.is_ssn(text) or (text[0] == "9" and check.is_itin(text)),
        group="pii",
        hits=("536-90-4399", "912-70-1234"),
        misses=("000-12-3456", "666-12-3456", "123-00-4567", "912-10-1234"),
    ),
    Row(
        "us_ssn",
        r"(?i:(?<!(?<!\\)[A-Za-z])(?:ssn|social security(?: number| no\.?| #)?|itin))[\s:#=\"'(]{0,4}(?:is\s)?(?P<value>\d{9})"
        + NUMBER_END,
        "ssa.gov/employer/randomization.html",
        check=lambda text: check.is_ssn(text) or (text[0] == "9" and check.is_itin(text)),
        group="pii",
        hits=("SSN: 536904399",),
        misses=("order 536904399",),
    ),
    Row(
        "ipv4",
        rf"{NUMBER_EDGE}(?<!(?i:version|section|release|chapter) )(?<!(?i:ver|rel)[ .])(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?![A-Za-z0-9-]|_[A-Za-z0-9]|\.\w)",
        "RFC 791; RFC 5737 for what is left alone",
        check=check.is_ipv4,
        group="pii",
        hits=("10.20.30.140", "8.8.4.40"),
        misses=("127.0.0.1", "0.1.20.30", "192.0.2.7", "1.2.3.4", "v10.20.30.40", "Version 10.20.30.40", "256.1.1.1"),
    ),
    Row(
        "ipv6",
        rf"{EDGE}(?<!\.){_AFTER_LABEL}"
        r"(?:[0-9A-Fa-f]{1,4}:|:(?=:)){1,7}(?::?[0-9A-Fa-f]{1,4}){1,7}(?:(?<=:\d)\d{0,2}(?:\.\d{1,3}){3}|(?:\.\d{1,3}){3})?"
        rf"(?:%[A-Za-z0-9]{{1,16}})?{_ADDRESS_END}",
        "RFC 4291; RFC 3849 for what is left alone",
        check=lambda text: check.is_ipv6(text.partition("%")[0]),
        group="pii",
        hits=("2a00:1450:4001:81b::200e", "fe80::a627:ebfe:1dd5:f756", "::ffff:10.20.30.40"),
        misses=("::1", "::", "std::vector", "fe80::", "2001:db8::1", "12:30:45", "LWP::UserAgent"),
    ),
    Row(
        "mac",
        rf"{EDGE}(?<!-){_AFTER_LABEL}[0-9A-Fa-f]{{2}}(?P<gap>[:-])(?:[0-9A-Fa-f]{{2}}(?P=gap)){{4}}[0-9A-Fa-f]{{2}}(?!-){_ADDRESS_END}",
        "IEEE 802",
        check=check.is_mac,
        group="pii",
        hits=("09:3a:8e:1c:00:91", "D4-F6-2F-02-49-8A"),
        misses=("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "09:3a:8e:1c:00:91:22"),
    ),
    Row(
        "mac",
        rf"{NUMBER_EDGE}[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}\.[0-9A-Fa-f]{{4}}(?![A-Za-z0-9-]|_[A-Za-z0-9]|\.\w)",
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
        rf"{EDGE}(?:(?:bc|tb|ltc|addr|stake|cosmos|osmo)1[a-z0-9]{{25,110}}|(?:BC|TB|LTC)1[A-Z0-9]{{25,71}}|0x[0-9a-fA-F]{{40}}|t[13][1-9A-HJ-NP-Za-km-z]{{33}}"
        rf"|[13LMDTXr][1-9A-HJ-NP-Za-km-z]{{25,34}}|[5KL][1-9A-HJ-NP-Za-km-z]{{50,51}}|[48][0-9AB][1-9A-HJ-NP-Za-km-z]{{93}}|[xyz]p(?:ub|rv)[1-9A-HJ-NP-Za-km-z]{{107}}){END}",
        "BIP 173, BIP 350, BIP 32, Base58Check, EIP-55, xrpl.org (base58 encodings), getmonero.org (standard address)",
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

_NATIONAL = rf"{NUMBER_EDGE}(?<![+#])(?<!\d[ .-])\(?\d{{1,5}}\)?(?:(?:{_GAP}|[/()]){{0,2}}\d{{1,5}}){{1,7}}{_PHONE_END}"
_CALLED = (
    r"(?i:(?<![a-z])(?:(?:tele|cell|mobile )?phone|mobile|cell|tel|fax|whatsapp|sms|call(?:ing|ed)?|dial|answering|reach|messages?|desk|office))"
    rf"(?![a-z])[^\d+()]{{0,24}}(?P<value>\(?\d{{1,5}}\)?(?:(?:{_GAP}|/){{1,2}}\d{{1,5}}){{1,6}}|\d{{7,11}}){_PHONE_END}"
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
