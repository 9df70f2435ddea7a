#!/usr/bin/env python3
"""A second implementation of design/identity.md, which prints the golden vectors of identity.rs.

Needs the package `blake3`.
"""
import struct

import blake3


def text(value):
    data = value.encode()
    return b"t" + struct.pack("<Q", len(data)) + data


def listing(length):
    return b"l" + struct.pack("<Q", length)


def fields(columns):
    columns = sorted(columns)
    return listing(len(columns)) + b"".join(text(name) + text(kind) for name, kind in columns)


def packet(columns, values):
    key = blake3.blake3(text("packet") + fields(columns)).digest()
    data = b"".join(values)
    data = data.ljust(max(64, (len(data) + 63) // 64 * 64), b"\0")
    return blake3.blake3(data, key=key).digest()


def count(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


NULL = b"\0"


def value(data):
    return b"\1" + data


def sized(data):
    return value(count(len(data)) + data)


def string(data):
    return sized(data.encode())


def int64(number):
    return NULL if number is None else value(struct.pack("<q", number))


def decimal(number):
    size = 1
    while not -(1 << (8 * size - 1)) <= number < (1 << (8 * size - 1)):
        size += 1
    return sized(number.to_bytes(size, "little", signed=True))


def milliseconds(number):
    seconds, rest = divmod(number, 1000)
    return value(struct.pack("<qI", seconds, rest * 1_000_000))


def column(kind, values):
    return [packet([("x", kind)], [v]).hex()[:16] for v in values]


def main():
    rows = [
        column("int64", [int64(1), int64(None), int64(-1)]),
        column("uint8", [value(b"\0"), value(b"\xff")]),
        column("float64", [
            value(struct.pack("<d", 0.0)),
            value(struct.pack("<d", -0.0)),
            value(struct.pack("<Q", 0x7FF8000000000000)),
            value(struct.pack("<d", 1.5)),
        ]),
        column("string", [string(""), string("a"), string("a string of more than twelve bytes")]),
        column("bool", [value(b"\1"), value(b"\0")]),
        column("date", [value(struct.pack("<i", 0)), value(struct.pack("<i", -1))]),
        column("timestamp", [milliseconds(1), milliseconds(-1)]),
        column("decimal(2)", [decimal(n) for n in (0, 127, 128, -128, -129)]),
        column("string", [string("0123456789" * 200)]),
        [packet([], []).hex()[:16]] * 2,
        column("list<int64>", [value(count(2) + int64(1) + int64(None)), value(count(0)), NULL]),
        column('struct<"a":string,"b":int64>', [value(string("y") + int64(2))]),
    ]
    structure = text("source") + fields([("x", "int64")]) + b"y" + b"n" + struct.pack("<Q", 7)
    structure += listing(2) + text("a") + text("b")
    function = text("function") + listing(2) + text("entry") + text("f") + text("kind") + text("closure")
    function = blake3.blake3(function).digest()
    key = blake3.blake3(packet([("x", "int64")], [int64(1)]) + bytes(32), key=function)
    rows.append([blake3.blake3(structure).hexdigest()[:16], function.hex()[:16], key.hexdigest()[:20]])
    for row in rows:
        print("    &[" + ", ".join(f'"{h}"' for h in row) + "],")


if __name__ == "__main__":
    main()
