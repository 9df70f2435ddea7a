# The other end of a worker: calls a function of a file, for packets or chunks that come over a pipe.
#
# A message is a line "<bytes of the header> <bytes of the body>", a header in JSON, and a body:
# columns as an Arrow stream, or rows as lines of JSON. `project.py` stands in front of it.
import json
import traceback

HERE = "<worker>"
OURS = (HERE, "<frozen importlib")
LOG_BYTES = 16384
# Results of one answer, unless one alone has more: what is left of the request comes again.
ANSWER_BYTES = 16 << 20
NO_OUTPUTS = (
    "found None in place of outputs, expected outputs; write `none: drop` to drop the packet,"
    " or `none: null` to give null for each output"
)
FAILED = object()
ABSENT = object()


class Wrong(Exception):
    """A value that is not of its type; the text never holds the value."""


class Pipes:
    """The pipes to the engine, moved aside, so that nothing that the user's code prints gets there."""

    def __init__(self):
        self.requests = os.fdopen(os.dup(0), "rb", 1 << 16)
        self.answers = os.fdopen(os.dup(1), "wb", 1 << 16)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self.process = os.getpid()
        # The request that is answered next; the engine counts from 1.
        self.number = 0

    def receive(self):
        line = self.requests.readline()
        if not line:
            return None
        header, body = (int(n) for n in line.split())
        header, body = json.loads(self.requests.read(header)), self.requests.read(body)
        self.number = header.get("number", 0)
        return header, body

    def send(self, header, body=b""):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        if os.getpid() != self.process:
            # A child that a call has forked, and that came back from it, does not answer for its parent.
            os._exit(0)
        header = dict(header, number=self.number, process=self.process)
        # A name of a file may hold what no text holds.
        header = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace")
        self.answers.write(b"%d %d\n" % (len(header), len(body)))
        self.answers.write(header)
        self.answers.write(body)
        self.answers.flush()


# ---- values ----------------------------------------------------------------------------------


def named(value):
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__name__


def plain(value):
    """The Python value of a number of another library."""
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "shape", None) == ():
        return item()
    return value


def roughly(value):
    """About how many bytes a result takes; never fails."""
    form = type(value)
    if form in (int, float, bool, type(None)):
        return 32
    if form in (str, bytes, bytearray):
        return sys.getsizeof(value)
    if form is dict:
        return sum(map(roughly, value.values()))
    if form in (list, tuple):
        # Items are taken to be alike.
        return 64 + len(value) * roughly(value[0]) if value else 64
    try:
        size = getattr(value, "nbytes", None)
        return size if type(size) is int else 64
    except Exception:
        return 64


def wrong(value, expected):
    return Wrong("found %s, expected %s" % (named(value), expected))


class Kind:
    """A type: what Python values it takes and gives, in Arrow and in JSON."""

    exact = ()

    def check(self, value):
        raise NotImplementedError

    def dump(self, value):
        return value

    def load(self, value):
        return value


class Bool(Kind):
    exact = (bool,)

    def check(self, value):
        value = plain(value)
        if type(value) is bool:
            return value
        raise wrong(value, "bool")

    def arrow(self, pa):
        return pa.bool_()


class Int(Kind):
    exact = (int,)

    def __init__(self, name):
        self.name = name
        bits = int(name.lstrip("uint"))
        signed = name[0] == "i"
        self.least = -(1 << (bits - 1)) if signed else 0
        self.most = (1 << (bits - 1 if signed else bits)) - 1

    def check(self, value):
        value = plain(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(value, "int for %s" % self.name)
        if not self.least <= value <= self.most:
            raise Wrong("found an int that is out of the range of %s" % self.name)
        return int(value)

    def arrow(self, pa):
        return getattr(pa, self.name)()


class Float(Kind):
    exact = (float,)

    def __init__(self, name):
        self.name = name

    def check(self, value):
        value = plain(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int) and not isinstance(value, bool):
            try:
                if int(float(value)) == value:
                    return float(value)
            except OverflowError:
                pass
            raise Wrong("found an int that %s cannot hold exactly, expected float" % self.name)
        raise wrong(value, "float for %s" % self.name)

    def dump(self, value):
        if value != value:
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "inf" if value > 0 else "-inf"
        return value

    def arrow(self, pa):
        return getattr(pa, self.name)()


class String(Kind):
    exact = (str,)

    def check(self, value):
        value = plain(value)
        if not isinstance(value, str):
            raise wrong(value, "str for string")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Wrong("found a str with lone surrogates, expected text that UTF-8 can say") from None
        return str(value)

    def arrow(self, pa):
        return pa.large_string()


class Binary(Kind):
    exact = (bytes,)

    def check(self, value):
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        raise wrong(value, "bytes for binary")

    def dump(self, value):
        return value.hex()

    def load(self, value):
        return bytes.fromhex(value)

    def arrow(self, pa):
        return pa.large_binary()


def fraction(text):
    """The same text with six digits behind the point."""
    whole, point, digits = text.partition(".")
    return whole + "." + (digits + "000000")[:6] if point else whole


class Date(Kind):
    def check(self, value):
        import datetime

        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            return value
        raise wrong(value, "datetime.date for date")

    def dump(self, value):
        return value.isoformat()

    def load(self, value):
        import datetime

        return datetime.date.fromisoformat(value)

    def arrow(self, pa):
        return pa.date32()


class Time(Kind):
    def check(self, value):
        import datetime

        if isinstance(value, datetime.time) and value.tzinfo is None:
            return value
        raise wrong(value, "datetime.time without a zone for time")

    def dump(self, value):
        return value.isoformat()

    def load(self, value):
        import datetime

        return datetime.time.fromisoformat(fraction(value))

    def arrow(self, pa):
        return pa.time64("us")


class Timestamp(Kind):
    def __init__(self, zoned):
        self.zoned = zoned

    def check(self, value):
        import datetime

        if isinstance(value, datetime.datetime) and value == value:
            if (value.tzinfo is not None) == self.zoned:
                if type(value) is not datetime.datetime:
                    value = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
                return value.astimezone(datetime.timezone.utc) if self.zoned else value
        if self.zoned:
            raise wrong(value, "datetime.datetime with a zone for timestamp_utc")
        raise wrong(value, "datetime.datetime without a zone for timestamp")

    def dump(self, value):
        return value.replace(tzinfo=None).isoformat() + ("Z" if self.zoned else "")

    def load(self, value):
        import datetime

        moment = datetime.datetime.fromisoformat(fraction(value.rstrip("Z")))
        return moment.replace(tzinfo=datetime.timezone.utc) if self.zoned else moment

    def arrow(self, pa):
        return pa.timestamp("us", "UTC" if self.zoned else None)


class Duration(Kind):
    def check(self, value):
        import datetime

        if isinstance(value, datetime.timedelta) and value == value:
            return value
        raise wrong(value, "datetime.timedelta for duration")

    def dump(self, value):
        import datetime

        count = value // datetime.timedelta(microseconds=1)
        sign, count = ("-", -count) if count < 0 else ("", count)
        return "%sPT%d.%06dS" % (sign, count // 1000000, count % 1000000)

    def load(self, value):
        import datetime

        sign = -1 if value.startswith("-") else 1
        whole, _, digits = value.lstrip("-").strip("PTS").partition(".")
        count = int(whole) * 1000000 + int((digits + "000000")[:6])
        return datetime.timedelta(microseconds=sign * count)

    def arrow(self, pa):
        return pa.duration("us")


class Decimal(Kind):
    def __init__(self, precision, scale):
        self.precision, self.scale = precision, scale

    def check(self, value):
        import decimal

        if isinstance(value, int) and not isinstance(value, bool):
            value = decimal.Decimal(value)
        if not isinstance(value, decimal.Decimal) or not value.is_finite():
            raise wrong(value, "a finite decimal.Decimal")
        with decimal.localcontext() as context:
            context.prec = 200
            context.traps[decimal.Inexact] = True
            try:
                exact = value.quantize(decimal.Decimal((0, (1,), -self.scale)))
            except (decimal.Inexact, decimal.InvalidOperation):
                raise Wrong("found a Decimal with more than %d digits behind the point" % self.scale) from None
        if exact and exact.adjusted() + 1 > self.precision - self.scale:
            raise Wrong("found a Decimal that %d digits cannot hold" % self.precision)
        return exact

    def dump(self, value):
        return format(value, "f")

    def load(self, value):
        import decimal

        return decimal.Decimal(value)

    def arrow(self, pa):
        return (pa.decimal128 if self.precision <= 38 else pa.decimal256)(self.precision, self.scale)


class List(Kind):
    def __init__(self, item):
        self.item = item

    def check(self, value):
        if hasattr(value, "tolist") and not isinstance(value, (list, tuple)):
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            raise wrong(value, "list")
        return [None if v is None else self.item.check(v) for v in value]

    def dump(self, value):
        return [None if v is None else self.item.dump(v) for v in value]

    def load(self, value):
        return [None if v is None else self.item.load(v) for v in value]

    def arrow(self, pa):
        return pa.list_(pa.field("item", self.item.arrow(pa)))


class Struct(Kind):
    def __init__(self, fields):
        self.fields = fields

    def check(self, value):
        if not isinstance(value, dict):
            raise wrong(value, "dict for struct")
        for key in value:
            if key not in self.fields:
                raise Wrong("found a key that the struct does not have, expected %s" % ", ".join(self.fields))
        return {k: f.check(value[k]) if value.get(k) is not None else None for k, f in self.fields.items()}

    def dump(self, value):
        return {k: None if value[k] is None else f.dump(value[k]) for k, f in self.fields.items()}

    def load(self, value):
        return {k: None if value.get(k) is None else f.load(value[k]) for k, f in self.fields.items()}

    def arrow(self, pa):
        return pa.struct([pa.field(k, f.arrow(pa)) for k, f in self.fields.items()])


class Map(Kind):
    def __init__(self, value):
        self.value = value

    def load(self, value):
        return [(k, None if v is None else self.value.load(v)) for k, v in value.items()]


def kind(spec):
    name = spec["type"]
    if name == "bool":
        return Bool()
    if name.startswith(("int", "uint")):
        return Int(name)
    if name.startswith("float"):
        return Float("float32" if name == "float16" else name)
    if name == "decimal":
        return Decimal(spec["precision"], spec["scale"])
    if name == "list":
        return List(kind(spec["item"]))
    if name == "struct":
        return Struct({k: kind(s) for k, s in spec["fields"]})
    if name == "map":
        return Map(kind(spec["value"]))
    if name in ("timestamp", "timestamp_utc"):
        return Timestamp(name == "timestamp_utc")
    return {"string": String, "binary": Binary, "date": Date, "time": Time, "duration": Duration}[name]()


# ---- wires -----------------------------------------------------------------------------------


class ArrowWire:
    name = "arrow"

    def __init__(self, pa):
        self.pa = pa
        self.fast = {
            pa.int8(): "b", pa.int16(): "h", pa.int32(): "i", pa.int64(): "q",
            pa.uint8(): "B", pa.uint16(): "H", pa.uint32(): "I", pa.uint64(): "Q",
            pa.float32(): "f", pa.float64(): "d",
        }  # fmt: skip

    def batch(self, body):
        with self.pa.ipc.open_stream(self.pa.py_buffer(body)) as stream:
            return stream.read_next_batch()

    def columns(self, body, takes):
        batch = self.batch(body)
        bad = {}
        columns = [self.values(batch.column(at), name, bad) for at, (name, _) in enumerate(takes)]
        return batch.num_rows, columns, bad

    def values(self, array, name, bad):
        count, start = len(array), array.offset
        if array.null_count == 0:
            code = self.fast.get(array.type)
            buffers = array.buffers()
            if code is not None:
                return memoryview(buffers[1]).cast("B").cast(code)[start : start + count].tolist()
            if array.type == self.pa.string() and count > 0:
                ends = memoryview(buffers[1]).cast("B").cast("i")[start : start + count + 1].tolist()
                low, high = ends[0], ends[-1]
                data = bytes(memoryview(buffers[2])[low:high]) if buffers[2] is not None and high > low else b""
                if data.isascii():
                    text = data.decode("ascii")
                    return [text[a - low : b - low] for a, b in zip(ends, ends[1:])]
        try:
            values = array.to_pylist()
            if self.pa.types.is_timestamp(array.type) and array.type.tz is not None:
                import datetime

                # The library's own zone depends on what else is installed.
                utc = datetime.timezone.utc
                values = [None if v is None else v.replace(tzinfo=utc) for v in values]
            return values
        except Exception:
            values = []
            for row in range(count):
                try:
                    values.append(array[row].as_py())
                except Exception:
                    values.append(None)
                    bad.setdefault(row, name)
            return values

    def encode(self, columns, keep, gives):
        arrays = [self.pa.array(v, type=k.arrow(self.pa)) for v, (_, k) in zip(columns, gives)]
        names = [name for name, _ in gives]
        if keep is not None:
            arrays.append(self.pa.array(keep, type=self.pa.bool_()))
            names.append("$keep")
        return self.stream(self.pa.RecordBatch.from_arrays(arrays, names=names))

    def stream(self, batch):
        sink = self.pa.BufferOutputStream()
        with self.pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        return sink.getvalue()


class JsonWire:
    name = "json lines"

    def columns(self, body, takes):
        rows = [json.loads(line) for line in body.splitlines()]
        bad = {}
        columns = []
        for name, form in takes:
            column = []
            for at, row in enumerate(rows):
                value = row[name]
                try:
                    column.append(None if value is None else form.load(value))
                except Exception:
                    column.append(None)
                    bad.setdefault(at, name)
            columns.append(column)
        return len(rows), columns, bad

    def encode(self, columns, keep, gives):
        lines = []
        for at in range(len(columns[0])):
            if keep is not None and not keep[at]:
                lines.append("null")
                continue
            row = {}
            for values, (name, form) in zip(columns, gives):
                row[name] = None if values[at] is None else form.dump(values[at])
            lines.append(json.dumps(row))
        return "\n".join(lines).encode()


def can_arrow():
    try:
        return importlib.util.find_spec("pyarrow") is not None
    except Exception:
        return False


# ---- calls -----------------------------------------------------------------------------------


def told(error):
    """The text and the traceback of an exception of any kind, whatever its own text does."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(OURS):
        tb = tb.tb_next
    try:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
        log = "".join(traceback.format_exception(type(error), error, tb))
        if len(text) > LOG_BYTES // 2:
            # The places matter more than the end of a long text.
            frames = "".join(traceback.format_tb(tb))[-LOG_BYTES // 2 :]
            log = "Traceback (most recent call last):\n" + frames + text[: LOG_BYTES // 4]
    except BaseException as second:
        text = "%s, whose text cannot be had: %s was raised for it" % (named(error), named(second))
        log = "Traceback (most recent call last):\n" + "".join(traceback.format_tb(tb)) + text
    # Code points that are no characters, as in names of files, are shown by their numbers.
    text, log = (t.encode("utf-8", "backslashreplace").decode() for t in (text[:LOG_BYTES], log[-LOG_BYTES:]))
    return text, log


class Surroundings:
    """What a call leaves as it has found it: the working folder, the umask, the signal mask, the locale."""

    def __init__(self, events):
        import _locale
        import signal

        self.locale, self.signal = _locale, signal
        self.folder = os.open(".", os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        self.place = self.where()
        self.umask = os.umask(0)
        os.umask(self.umask)
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.settings = self.settle()
        self.events = events
        self.set_locale = _locale.setlocale
        self.change_folder = os.fchdir
        self.change_umask = os.umask
        self.change_mask = signal.pthread_sigmask
        # A call that changes one of them is noted, so that the next call of the request does not meet it; what a
        # library does without them is found after the request.
        for module, name in (
            (os, "chdir"),
            (os, "fchdir"),
            (os, "umask"),
            (signal, "pthread_sigmask"),
            (_locale, "setlocale"),
        ):
            setattr(module, name, self.noting(getattr(module, name)))
        if "locale" in sys.modules:
            sys.modules["locale"]._setlocale = _locale.setlocale

    def noting(self, change):
        import functools

        @functools.wraps(change)
        def noted(*arguments, **named):
            self.events.append(change)
            return change(*arguments, **named)

        return noted

    def where(self):
        try:
            found = os.stat(".")
            return found.st_dev, found.st_ino
        except OSError:
            return None

    def settle(self):
        """The locale by category: all of them have one text only where they agree."""
        names = ("LC_CTYPE", "LC_COLLATE", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "LC_MESSAGES")
        categories = [getattr(self.locale, name) for name in names if hasattr(self.locale, name)]
        return [(category, self.locale.setlocale(category, None)) for category in categories]

    def restore(self):
        """Puts back what was changed; false where that cannot be done."""
        try:
            if self.where() != self.place:
                self.change_folder(self.folder)
            self.change_umask(self.umask)
            self.change_mask(self.signal.SIG_SETMASK, self.mask)
            for category, setting in self.settings:
                if self.set_locale(category, None) != setting:
                    self.set_locale(category, setting)
            return True
        except Exception:
            return False


def loop(names, constants, sized):
    """Code that calls a function with the names as keywords, without a mapping for each packet. Where results are
    `sized`, it ends early once they have more bytes than `room`, of which it gives what is left."""
    import keyword

    def argument(at, name):
        if name.isidentifier() and not keyword.iskeyword(name):
            return "%s=c%d" % (name, at)
        return "**{%r: c%d}" % (name, at)

    rows = ", ".join("c%d" % at for at in range(len(names)))
    columns = ", ".join("columns[%d]" % at for at in range(len(names)))
    if len(names) == 0:
        rows, columns = "_", "range(count)"
    elif len(names) > 1:
        columns = "zip(%s)" % columns
    arguments = [argument(at, name) for at, name in enumerate(names)]
    arguments = ", ".join(arguments + (["**constants"] if constants else []))
    source = """
def run(call, columns, count, give, fail, modules, known, events, late, room):
    for %s in %s:
        try:
            given = call(%s)
        except BaseException as error:
            fail(error)
        else:
            give(given)%s
        if len(modules) != known or events:
            known = late()
            if known < 0:
                return room
        if room < 0:
            return room
    return room
""" % (rows, columns, arguments, "\n            room -= roughly(given)" if sized else "")
    scope = {"constants": constants, "roughly": roughly}
    exec(compile(source, HERE, "exec"), scope)
    return scope["run"]


class Worker:
    def __init__(self, pipes, header):
        self.pipes = pipes
        self.takes = [(name, kind(spec)) for name, spec in header["takes"]]
        self.gives = [(name, kind(spec)) for name, spec in header["gives"]]
        self.chunk = header["chunk"]
        self.none = header["none"]
        self.project = Project(header["file"], header["strict"], header["late"], header["files"])
        self.constants = {name: json.loads(text) for name, text in header["with"]}
        sized = any(isinstance(form, (String, Binary, List, Struct, Map)) for _, form in self.gives)
        self.run = loop([name for name, _ in self.takes], self.constants, sized)
        self.failures = []
        self.results = []
        self.wire = None
        self.known = 0
        self.surroundings = None

    def start(self, header):
        """Imports the file; what it says of itself goes to the engine."""
        try:
            module = self.project.load()
        except BaseException as error:
            return self.no_start("the file cannot be imported", error)
        for name in [header["call"]] + ([header["setup"]] if header["setup"] else []):
            if not callable(getattr(module, name, None)):
                names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
                self.pipes.send({"missing": name, "names": names})
                return False
        self.call = getattr(module, header["call"])
        strict = header["strict"]
        # What the engine's own wire loads is no part of the function, unless all that is there is.
        modules, packages = ({}, {}) if strict else self.project.take()
        pa = None
        if header["begin"] or self.chunk or strict:
            pa = self.arrow()
            self.wire = JsonWire() if pa is None else ArrowWire(pa)
        if self.chunk and pa is None:
            self.pipes.send({"no_arrow": True})
            return False
        loaded = self.project.take()
        if strict:
            modules, packages = loaded
        for known, recalled in zip((modules, packages), self.project.recall()):
            known.update(recalled)
        if header["begin"] and header["setup"]:
            try:
                getattr(module, header["setup"])()
            except BaseException as error:
                return self.no_start("setup \"%s\" failed" % header["setup"], error)
        if self.is_late():
            self.pipes.send({"late": self.loaded})
            return False
        # The file and its setup may have chosen some of them.
        self.surroundings = Surroundings(self.project.events)
        self.known = len(sys.modules)
        self.pipes.send(
            {
                "python": "%s %d.%d" % ((sys.implementation.name,) + sys.version_info[:2]),
                "full": "%d.%d.%d" % sys.version_info[:3],
                "modules": modules,
                "places": {label: self.project.places.get(label, "") for label in modules},
                "packages": packages,
                "arrow": pa is not None or self.wire is None and can_arrow(),
            }
        )
        return True

    def no_start(self, what, error):
        text, log = told(error)
        self.pipes.send({"failed": what, "text": text, "log": log})
        return False

    def arrow(self):
        try:
            import pyarrow as pa
            import pyarrow.ipc
        except Exception:
            return None
        return pa

    def is_late(self):
        """Whether something was loaded that the fingerprint does not hold; `loaded` says what."""
        changed, new = self.project.late()
        self.loaded = {"changed": changed, "new": new}
        return bool(changed or new)

    def late(self):
        """The number of modules, or -1 if one of them is not in the fingerprint."""
        restored = self.surroundings.restore()
        if not self.is_late():
            if not restored:
                # What was computed is right; the next packet goes to another worker.
                self.known = -1
                return -1
            self.known = len(sys.modules)
            return self.known
        self.results[-1] = FAILED
        self.failures = [f for f in self.failures if f[0] != len(self.results) - 1]
        self.failures.append([len(self.results) - 1, "late", self.loaded, ""])
        self.known = -1
        return -1

    def fail(self, error):
        text, log = told(error)
        self.failures.append([len(self.results), "failed", text, log])
        self.results.append(FAILED)

    def refuse(self, row, text):
        self.results[row] = FAILED
        self.failures.append([row, "answered", text, ""])

    def answer(self, body):
        self.failures, self.results = [], []
        if self.chunk:
            self.answer_chunk(body)
        else:
            self.answer_packets(body)
        return self.known >= 0

    def settled(self):
        """Leaves the next request what this one has found; without that the worker goes after its answer."""
        if not self.surroundings.restore():
            self.known = -1

    def answer_packets(self, body):
        count, columns, bad = self.wire.columns(body, self.takes)
        if bad:
            self.call_some(count, columns, bad)
        else:
            self.call_each(columns, count)
        keep, columns = self.outputs()
        try:
            body = self.wire.encode(columns, keep, self.gives)
        except Exception:
            # A value that passed the quick look and still does not fit: each is looked at now.
            keep, columns = self.slow_outputs()
            body = self.wire.encode(columns, keep, self.gives)
        self.settled()
        self.failures.sort(key=lambda f: f[0])
        header = {"rows": len(self.results), "failures": self.failures, "retire": self.known < 0}
        self.pipes.send(header, body)

    def call_each(self, columns, count, room=ANSWER_BYTES):
        give, events, late = self.results.append, self.project.events, self.late
        return self.run(self.call, columns, count, give, self.fail, sys.modules, self.known, events, late, room)

    def call_some(self, count, columns, bad):
        room = ANSWER_BYTES
        for row in range(count):
            if row in bad:
                text = "column \"%s\" has a value that Python's type for it cannot hold" % bad[row]
                self.failures.append([row, "passed", text, ""])
                self.results.append(FAILED)
                continue
            one = [[column[row]] for column in columns]
            room = self.call_each(one, 1, room)
            if self.known < 0 or room < 0:
                return

    def outputs(self):
        """Results as columns, quickly where all are of the very type that is expected."""
        results, kinds = self.results, set(map(type, self.results))
        if self.wire.name != "arrow":
            return self.slow_outputs()
        if len(self.gives) == 1:
            form = self.gives[0][1]
            if form.exact and kinds <= set(form.exact):
                return None, [results]
        elif kinds == {dict} and all(len(r) == len(self.gives) for r in results):
            try:
                columns = [[r[name] for r in results] for name, _ in self.gives]
            except KeyError:
                return self.slow_outputs()
            nothing = type(None)
            if all(
                form.exact and set(map(type, c)) <= {*form.exact, nothing}
                for c, (_, form) in zip(columns, self.gives)
            ):
                return None, columns
        return self.slow_outputs()

    def slow_outputs(self):
        columns = [[] for _ in self.gives]
        keep = []
        for row, result in enumerate(self.results):
            values = None
            if result is None and self.none == "error":
                self.refuse(row, NO_OUTPUTS)
            elif result is None and self.none == "null":
                values = [None for _ in self.gives]
            elif result is not FAILED and result is not None:
                try:
                    values = self.checked(result)
                except Wrong as error:
                    self.refuse(row, str(error))
                except Exception as error:
                    self.refuse(row, "found a value that raised %s when it was looked at" % named(error))
            keep.append(values is not None)
            for at, column in enumerate(columns):
                column.append(None if values is None else values[at])
        return keep, columns

    def checked(self, result):
        if len(self.gives) == 1:
            name, form = self.gives[0]
            if not (isinstance(result, dict) and set(result) == {name}):
                result = {name: result}
        if not isinstance(result, dict):
            raise wrong(result, "a dict of %s" % ", ".join(name for name, _ in self.gives))
        values = []
        for name, form in self.gives:
            value = result.get(name, ABSENT)
            if value is ABSENT:
                raise Wrong("found no output \"%s\", expected a value or None" % name)
            try:
                values.append(None if value is None else form.check(value))
            except Wrong as error:
                raise Wrong("output \"%s\": %s" % (name, error)) from None
        if len(result) > len(self.gives):
            raise Wrong("found outputs that gives does not name; add them to gives or leave them out")
        return values

    def answer_chunk(self, body):
        batch = self.wire.batch(body)
        try:
            given = self.call(batch, **self.constants)
        except BaseException as error:
            text, log = told(error)
            self.settled()
            self.pipes.send({"refused": "failed", "text": text, "log": log, "retire": self.known < 0})
            return
        self.settled()
        if self.is_late():
            self.known = -1
            self.pipes.send({"refused": "late", "text": self.loaded, "log": "", "retire": True})
            return
        pa = self.wire.pa
        if given is None and self.none == "error":
            self.pipes.send({"refused": "answered", "text": NO_OUTPUTS, "log": "", "retire": False})
            return
        if given is None:
            columns = [pa.nulls(batch.num_rows, form.arrow(pa)) for _, form in self.gives]
            columns.append(pa.array([self.none == "null"] * batch.num_rows, pa.bool_()))
            given = pa.RecordBatch.from_arrays(columns, names=[n for n, _ in self.gives] + ["$keep"])
        if isinstance(given, pa.Table):
            parts = given.combine_chunks().to_batches()
            empty = pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in given.schema], schema=given.schema)
            given = parts[0] if parts else empty
        if not isinstance(given, pa.RecordBatch):
            text = str(wrong(given, "pyarrow.RecordBatch"))
            self.pipes.send({"refused": "answered", "text": text, "log": "", "retire": self.known < 0})
            return
        header = {"rows": given.num_rows, "failures": [], "retire": self.known < 0}
        self.pipes.send(header, self.wire.stream(given))


def main():
    pipes = Pipes()
    header, _ = pipes.receive()
    worker = Worker(pipes, header)
    if not worker.start(header) or not header["begin"]:
        return
    while True:
        message = pipes.receive()
        if message is None or not worker.answer(message[1]):
            return


main()
