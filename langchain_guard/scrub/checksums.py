"""Is this really one? Check digits, checksums and plausibility for what a pattern found.

Each function takes the text of a match and nothing else, so that a decision never depends on how a stream was cut.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import re
from collections import Counter
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_guard.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_NO_DIGITS = re.compile(r"\D")

# Issuer ranges: ISO/IEC 7812-1 registrations as the networks publish them (Visa, Mastercard with its 2-series, American
# Express, Diners Club, Discover, JCB, UnionPay, Maestro, Mir, Verve, RuPay, Troy).
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|220[0-4]\d{12,15}"
    r"|3[47]\d{13}|3(?:0[0-59]|[689]\d)\d{11,16}|35(?:2[89]|[3-8]\d)\d{12,15}|6(?:011|5\d\d|4[4-9]\d)\d{12,15}"
    r"|(?:2131|1800)\d{11}|6[02]\d{14,17}|(?:5[0678]\d\d|6(?:304|7\d\d|39\d|[0-9]{3}))\d{8,15}|81\d{14,17}|9792\d{12}"
)


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B (Luhn)."""
    total = 0
    for index, char in enumerate(reversed(digits)):
        total += _DOUBLED[int(char)] if index % 2 else int(char)
    return total % 10 == 0


def is_card(text: str) -> bool:
    """A payment card number of 12 to 19 digits: a known issuer, the check digit, not one digit only."""
    digits = _NO_DIGITS.sub("", text)
    return len(set(digits)) > 1 and luhn(digits) and _ISSUERS.fullmatch(digits) is not None


IBAN_LENGTHS = {
    # The SWIFT IBAN Registry (ISO 13616): country and length.
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip


def is_iban(text: str) -> bool:
    """An IBAN: the country's length and the remainder of ISO 7064 MOD 97-10."""
    compact = re.sub(r"[ \u00a0-]", "", text).upper()
    if IBAN_LENGTHS.get(compact[:2]) != len(compact):
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def is_ssn(text: str) -> bool:
    """A US social security number that can have been issued (SSA: no area 000, 666 or 9xx; no group 00; no serial 0000)."""
    area, group, serial = (digits := _NO_DIGITS.sub("", text))[:3], digits[3:5], digits[5:]
    if area in {"000", "666"} or area[0] == "9" or group == "00" or serial == "0000" or len(set(digits)) == 1:
        return False
    return digits not in {"078051120", "219099999", "123456789", "987654321"}  # printed on cards in shops; made up


def is_itin(text: str) -> bool:
    """A US individual taxpayer number: 9xx with the groups that the IRS assigns (50-65, 70-88, 90-92, 94-99)."""
    digits = _NO_DIGITS.sub("", text)
    group = int(digits[3:5])
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99


_EXAMPLE_V4 = tuple(ipaddress.IPv4Network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))


def is_ipv4(text: str) -> bool:
    """An IPv4 address of somebody: not loopback, unspecified, broadcast, a netmask, documentation (RFC 5737) or a version."""
    octets = [int(part) for part in text.split(".")]
    if max(octets) > 255 or any(len(part) > 1 and part[0] == "0" for part in text.split(".")):
        return False
    if octets[0] in {0, 127, 255} or max(octets) < 10:
        return False
    address = ipaddress.IPv4Address(text)
    return not any(address in net for net in _EXAMPLE_V4)


def is_ipv6(text: str) -> bool:
    """An IPv6 address of somebody: not loopback, unspecified, a bare prefix, or the example of RFC 3849 (2001:db8::1).

    Other addresses of 2001:db8::/32 count: generators of test data use them for people's addresses.
    """
    if not any(char.isdigit() for char in text) or text.endswith("::") or len(text) < 6:
        return False
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address == _EXAMPLE_V6)


_EXAMPLE_V6 = ipaddress.IPv6Address("2001:db8::1")


def is_mac(text: str) -> bool:
    """A hardware address: not all zeros, not broadcast."""
    return len(set(re.sub(r"[:.-]", "", text).lower())) > 1


_BASE58 = {char: i for i, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_FROM_RIPPLE = str.maketrans("rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz", "".join(_BASE58))
_BECH32 = {char: i for i, char in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}


def base58check(text: str) -> bool:
    """Base58Check: the last four bytes are the beginning of the double SHA-256 of the rest (Bitcoin)."""
    if any(char not in _BASE58 for char in text):
        return False
    number = 0
    for char in text:
        number = number * 58 + _BASE58[char]
    zeros = len(text) - len(text.lstrip("1"))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    return len(data) >= 5 and hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def bech32(text: str) -> bool:
    """The checksum of bech32 (BIP 173) or bech32m (BIP 350)."""
    if text.lower() != text and text.upper() != text:
        return False
    prefix, _, data = text.lower().rpartition("1")
    if not prefix or len(data) < 7 or any(char not in _BECH32 for char in data):
        return False
    values = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    values += [_BECH32[char] for char in data]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check in {1, 0x2BC830A3}


def is_wallet(text: str) -> bool:
    """An address or key of a blockchain: by checksum where its form has one."""
    if text[:2] == "0x":
        return len(set(text[2:].lower())) > 5
    if (
        text[0] in "48" and len(text) == 95
    ):  # Monero: its checksum is Keccak, which hashlib has not; the form is telling
        return is_mixed(text)
    if text[0] == "r":
        return base58check(text.translate(_FROM_RIPPLE))
    return bech32(text) or base58check(text)


_RUN = re.compile(r"(.)\1{7}")
_WORDS = re.compile(r"(?i)example|placeholder|your[_-]|xxxxx|changeme|redacted|insert[_-]")


def plausible(text: str) -> bool:
    """Not a placeholder: enough different characters, no long run of one, no word such as EXAMPLE."""
    tail = text[len(text) // 3 :]
    return len(set(tail.lower())) >= 3 and _RUN.search(text) is None and _WORDS.search(text) is None


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits each."""
    size = len(text)
    return -sum(count / size * math.log2(count / size) for count in Counter(text).values())


_NOT_A_VALUE = re.compile(
    r"(?i)\$[a-z_{(]|[{<\[(]|%\(|%[a-z_]+%$|\*{3}|!(?:vault|secret|ref|sub|env|reference)\b|os\.|env\b|process\.|get[a-z_]*\(|self\.|[a-z_][\w.]*[(\[]|(?:/[\w.-]+){2,}/?$|config[.\[(]|(?:none|null|true|false|undefined|string|str)$"
)


def is_password(text: str) -> bool:
    """The value of a password assignment: not a word, not a variable, not a placeholder."""
    if _NOT_A_VALUE.match(text) or _WORDS.search(text) or len(set(text)) < 4 or re.search(r"\(\)|\(.*\)$|://", text):
        return False
    classes = (
        any(char.isdigit() for char in text)
        + any(char.isalpha() for char in text)
        + (not text.isupper() and any(char.isupper() for char in text[1:]))
        + any(not char.isalnum() and char not in "._- '" for char in text[:-1])
    )
    return classes >= 2 or len(text.split()) >= 3


def is_user_and_password(text: str) -> bool:
    """What stands after ``curl --user``: a name and a password, none of them a variable."""
    plain = text.replace('"', "").replace("'", "")
    return not re.search(r"\$[A-Za-z_{(]|\{\{|[\[<]|%\{", plain) and is_password(plain.partition(":")[2].strip("{}"))


def is_generic_secret(text: str) -> bool:
    """The value of something called a key, token or secret: random rather than spelled."""
    if not plausible(text) or _NOT_A_VALUE.match(text) or text.isalpha():
        return False
    digits = sum(char.isdigit() for char in text)
    if not digits or entropy(text) < (3.0 if _HEX.fullmatch(text) else 3.3):
        return False
    parts = re.split(r"[-_.]", text)
    if max(map(len, text.split("."))) < 14 or (max(map(len, parts)) < 10 and not _UUID.fullmatch(text)):
        return False  # a host name, a version, words joined by dashes
    words = re.findall(r"[a-z]{4,}|[A-Z]{4,}|[A-Z][a-z]{3,}", text)
    return sum(map(len, words)) <= 0.6 * len(text) or (digits >= 4 and entropy(text) >= 3.8)


_HEX = re.compile(r"[0-9a-fA-F]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def is_mixed(text: str) -> bool:
    """Plausible, with a digit and letters of both cases: random rather than a name in a program."""
    kinds = any(map(str.isdigit, text)) + any(map(str.islower, text)) + any(map(str.isupper, text))
    return kinds == 3 and plausible(text)


def is_numbered(text: str) -> bool:
    """Plausible, with at least six digits."""
    return sum(map(str.isdigit, text)) >= 6 and plausible(text)


def is_high_entropy(text: str) -> bool:
    """Base64-like text that is random: at least 4.5 bits a character, mixed, not hexadecimal."""
    return (
        entropy(text) >= 4.5
        and re.fullmatch(r"[0-9a-fA-F-]+", text) is None
        and any(char.isdigit() for char in text)
        and any(char.isupper() for char in text)
        and any(char.islower() for char in text)
    )


def is_phone_shape(text: str) -> bool:
    """An international number of 8 to 15 digits (ITU-T E.164), or 3-3-4 digits; extensions are not counted."""
    digits = _NO_DIGITS.sub("", re.split(r"(?i)x|ext", text)[0])
    if text.startswith(("+", "(+", "00")):
        return 8 <= len(digits.lstrip("0")) <= 15 and len(set(digits)) > 2
    return len(set(digits[3:])) > 1


def phone_check(region: str) -> Callable[[str], bool]:
    """A check by Google's numbering plans: is this a valid number, dialled from `region`?

    Args:
        region: ISO 3166-1 alpha-2 code, such as ``"GB"``.

    Raises:
        ConfigError: The extra ``pii`` is not installed, or the region is unknown.
    """
    phonenumbers = optional("phonenumbers")
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ConfigError(f"region={region!r} is unknown; give an ISO 3166 country code such as 'GB' or 'US'")
    return partial(_is_phone, region)


@lru_cache(maxsize=1024)
def _is_phone(region: str, text: str) -> bool:
    phonenumbers = optional("phonenumbers")
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number(number):
        return False
    # A number without the prefix that people dial first, as in 30 1234567 for 030 1234567, is any number.
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    return _NO_DIGITS.sub("", text).endswith(_NO_DIGITS.sub("", written)) or text.lstrip("( ").startswith("+")


def is_national_id(module: str, text: str) -> bool:
    """A national number with the right check digits, by python-stdnum.

    Args:
        module: Its module, such as ``"es.dni"``.
        text: The number.
    """
    return bool(optional(f"stdnum.{module}").is_valid(text))


def optional(module: str) -> Any:
    """A module of the extra ``pii``.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ConfigError(
            f"this kind needs {module.split('.', maxsplit=1)[0]}, which is not installed: pip install 'langchain-guard[pii]'"
        ) from None
