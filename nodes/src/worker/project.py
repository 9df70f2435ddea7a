# Which of the loaded modules are the project's own code, and what they consist of. Runs in front of `shim.py`.
#
# A module is of the standard library, or listed in the RECORD of an installed distribution, or it is the
# project's, wherever its file lies. The project's modules are compiled from their sources at all times,
# and are known by the hash of exactly the bytes that were compiled.
import sys

STARTUP = dict(sys.modules)
# The folder of the function must not shadow what the worker itself imports.
sys.path[:] = [entry for entry in sys.path if entry != ""]

import importlib.machinery
import importlib.util
import os

SITE = ("site-packages", "dist-packages")
SUFFIXES = tuple(importlib.machinery.all_suffixes())
SOURCES = tuple(importlib.machinery.SOURCE_SUFFIXES)


def blake2(data):
    import hashlib

    return hashlib.blake2b(data, digest_size=32).hexdigest()


def below(path, folder):
    """The path from a folder on, or None where it does not lie in the folder."""
    folder = os.path.join(folder, "")
    return path[len(folder) :] if path.startswith(folder) else None


def attribute(module, name):
    """An attribute that is there; modules that compute theirs are left in peace."""
    try:
        return object.__getattribute__(module, "__dict__").get(name)
    except Exception:
        return None


def read(path):
    """The bytes of a file, or of a member of an archive; None where there is nothing."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        pass
    try:
        import zipimport

        archive = containing_file(path)
        return zipimport.zipimporter(archive).get_data(path) if archive else None
    except Exception:
        return None


def containing_file(path):
    """The file itself, or the archive that a path leads into."""
    while path and not os.path.lexists(path):
        path = os.path.dirname(path)
    return path if os.path.isfile(path) else None


class Installed:
    """The distributions that are installed in a folder along sys.path."""

    def __init__(self, folder):
        self.folder = folder
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            names = []
        self.infos = [name for name in names if name.endswith((".dist-info", ".egg-info"))]
        self.records = {}
        self.listed = {}
        self.tops = None

    def owner(self, relative):
        """The distribution that a file belongs to, by the name of its folder of metadata."""
        top = relative.split(os.sep)[0]
        if top not in self.listed:
            self.listed[top] = self.files(top)
        owner = self.listed[top].get(relative)
        if owner is not None and self.leads_out(owner, relative):
            return None
        return owner or self.unrecorded(top)

    def files(self, top):
        """The files below a top-level name that are listed in any RECORD."""
        found = {}
        start = top.encode("utf-8", "surrogateescape")
        for info in self.infos:
            record = self.record(info)
            if not record or start not in record:
                continue
            for line in record.split(b"\n"):
                line = line.strip()
                # A path with a comma or a quote is quoted, quotes doubled.
                if line.startswith(b'"'):
                    line = line[1:].split(b'",')[0].replace(b'""', b'"')
                else:
                    line = line.split(b",")[0]
                if line.startswith(start):
                    path = os.path.normpath(line.decode("utf-8", "surrogateescape"))
                    found.setdefault(path, info)
        return found

    def record(self, info):
        if info not in self.records:
            path = os.path.join(self.folder, info, "RECORD")
            try:
                with open(path, "rb") as file:
                    self.records[info] = file.read()
            except OSError:
                self.records[info] = None
        return self.records[info]

    def unrecorded(self, top):
        """The distribution without a RECORD that has a top-level name."""
        if os.path.basename(self.folder) not in SITE:
            return None
        if self.tops is None:
            self.tops = {}
            for info in self.infos:
                if self.record(info) is None:
                    for name in self.names(info):
                        self.tops.setdefault(name, info)
        name = top
        for suffix in SUFFIXES:
            if top.endswith(suffix):
                name = top[: -len(suffix)].split(".")[0]
                break
        return self.tops.get(name)

    def names(self, info):
        path = os.path.join(self.folder, info)
        if os.path.isdir(path):
            text = read(os.path.join(path, "top_level.txt"))
            if text is not None:
                return [line.replace("/", ".").split(".")[0] for line in text.decode("utf-8", "replace").split()]
        return [info.rsplit(".", 1)[0].split("-")[0].replace(".", "_")]

    def leads_out(self, info, relative):
        """Whether a file of an editable distribution is a link to its source."""
        direct = read(os.path.join(self.folder, info, "direct_url.json"))
        if direct is None or b'"editable"' not in direct:
            return False
        real = os.path.realpath(os.path.join(self.folder, relative))
        return below(real, os.path.realpath(self.folder)) is None


class Project:
    def __init__(self, file, strict, late=(), files=()):
        self.file = os.path.abspath(file)
        self.folder = os.path.dirname(self.file)
        self.real_folder = os.path.realpath(self.folder)
        self.strict = strict
        self.declared = {os.path.realpath(path) for path in files}
        self.remembered = late
        self.standard_folder = os.path.dirname(os.path.abspath(os.__file__))
        self.standard_names = getattr(sys, "stdlib_module_names", None)
        self.kinds = {}
        self.installed = {}
        self.entries = None, set()
        # Digests of modules by label, versions of packages by name, as far as they were reported.
        self.modules = {}
        self.packages = {}
        # What each label stands for, and files that hold modules.
        self.labels = {}
        self.places = {}
        # The bytes that were compiled, by path: digest and the module's name.
        self.compiled = {}
        self.seen = {}
        # Not empty once a module of the project was compiled since the last look.
        self.events = []
        self.owner = None
        self.owner = self.owner_of(self.file)

    # ---- what a file is ----

    def is_project(self, path):
        known = self.kinds.get(path)
        if known is None:
            known = self.kinds[path] = self.classify(path)
        return known

    def classify(self, path):
        if path == self.file:
            return True
        if self.is_standard(path):
            return False
        owner = self.owner_of(path)
        # Whoever works on an installed distribution itself has it as his project.
        return owner is None or owner == self.owner

    def is_standard(self, path):
        for folder in (self.standard_folder, os.path.realpath(self.standard_folder)):
            relative = below(path, folder)
            if relative is None:
                continue
            parts = relative.split(os.sep)
            if parts[0] in SITE:
                return False
            if parts[0] == "lib-dynload" and len(parts) > 1:
                parts = parts[1:]
            top = parts[0].split(".")[0]
            names = self.standard_names
            return names is None or top in names or top in STARTUP or top.startswith("_sysconfigdata")
        return os.path.basename(containing_file(path) or "") == "python%d%d.zip" % sys.version_info[:2]

    def owner_of(self, path):
        """Folder and distribution that a file belongs to."""
        if self.entries[0] != sys.path:
            self.entries = list(sys.path), {os.path.abspath(e) for e in sys.path if isinstance(e, str)}
        entries = self.entries[1]
        folder = os.path.dirname(path)
        while True:
            if folder in entries:
                installed = self.installed.get(folder)
                if installed is None:
                    installed = self.installed[folder] = Installed(folder)
                info = installed.owner(below(path, folder)) if installed.infos else None
                if info is not None:
                    return folder, info
            parent = os.path.dirname(folder)
            if parent == folder:
                return None
            folder = parent

    def label(self, path, name):
        """A name of a file that is the same wherever the project lies."""
        relative = below(path, self.folder)
        if relative is None:
            relative = below(os.path.realpath(path), self.real_folder)
        if relative is None:
            relative = self.importable(path, name)
        if relative is None or not same_file(self.labels.get(relative, path), path):
            relative = os.path.relpath(path, self.folder)
        self.labels[relative] = path
        return relative

    def importable(self, path, name):
        """The path from the folder on in which the import system finds the module."""
        parts = name.split(".") if name else []
        stem, base = os.path.split(path)
        base = base.split(".")[0]
        found = stem.split(os.sep) + ([] if base == "__init__" else [base])
        if parts and found[-len(parts) :] == parts:
            root = os.sep.join(found[: -len(parts)])
            return os.path.join("sys.path", below(path, root) or os.path.basename(path))
        roots = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str) and entry]
        roots = [root for root in roots if below(path, root) is not None]
        if not roots:
            return None
        return os.path.join("sys.path", below(path, max(roots, key=len)))

    def resolve(self, label):
        """Where a module of an earlier run lies now; None if it is nowhere."""
        relative = below(label, "sys.path")
        if relative is None:
            return os.path.normpath(os.path.join(self.folder, label))
        roots = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str) and entry]
        for root in roots:
            path = os.path.join(root, relative)
            if containing_file(path) is not None:
                return path
        try:
            # Names of one part are found without an import; an editable install may know it.
            top = relative.split(os.sep)[0]
            spec = importlib.util.find_spec(top.split(".")[0])
            for folder in spec.submodule_search_locations or [spec.origin]:
                path = os.path.join(os.path.dirname(folder), relative)
                if containing_file(path) is not None:
                    return path
        except Exception:
            pass
        return None

    # ---- loading ----

    def load(self):
        """Imports the file. What comes of it does not depend on where the engine was started."""
        sys.path[:] = [self.folder] + [entry for entry in sys.path if entry not in ("", self.folder)]
        sys.argv[:] = [self.file]
        self.watch()
        name = os.path.splitext(os.path.basename(self.file))[0]
        if name in sys.modules:
            name = "_file_" + name
        loader = importlib.machinery.SourceFileLoader(name, self.file)
        spec = importlib.util.spec_from_file_location(name, self.file, loader=loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def watch(self):
        """Compiles the project's modules from their sources: compiled files are told apart by time and size only."""
        loader = importlib.machinery.SourceFileLoader
        stats, data = loader.path_stats, loader.get_data
        project = self

        def path_stats(self, path):
            if project.is_project(os.path.abspath(path)):
                raise OSError("the source is read")
            return stats(self, path)

        def get_data(self, path):
            found = data(self, path)
            if path == getattr(self, "path", None):
                place = os.path.abspath(path)
                if place.endswith(SOURCES) or place == project.file:
                    if project.is_project(place):
                        project.compiled[place] = (blake2(found), getattr(self, "name", ""))
                        project.events.append(place)
            return found

        loader.path_stats = path_stats
        loader.get_data = get_data

    # ---- what was loaded ----

    def look(self):
        """Modules of the project, and packages, that were loaded since the last look."""
        del self.events[:]
        modules, packages = {}, {}
        for path, (digest, name) in list(self.compiled.items()):
            modules[self.place(path, name)] = digest
        for name, module in list(sys.modules.items()):
            if self.seen.get(name) is module:
                continue
            self.seen[name] = module
            self.look_at(name, module, modules, packages)
        modules = {k: v for k, v in modules.items() if self.modules.get(k) != v}
        packages = {k: version(k) if v is None else v for k, v in packages.items() if k not in self.packages}
        return modules, packages

    def take(self):
        """The same, which is known from here on."""
        modules, packages = self.look()
        self.modules.update(modules)
        self.packages.update(packages)
        return modules, packages

    def place(self, path, name):
        label = self.label(path, name)
        if label not in self.places:
            self.places[label] = containing_file(path) or path
        return label

    def look_at(self, name, module, modules, packages):
        path = path_of(module)
        if path is None:
            return
        startup = STARTUP.get(name) is module and os.path.basename(os.path.dirname(path)) in SITE
        if not startup and self.is_project(path):
            if path in self.compiled:
                return
            data = read(path)
            if data is None:
                data = source_of(name, module)
            if data is not None:
                modules[self.place(path, name)] = blake2(data)
            return
        if "." not in name:
            if not (name in self.standard_names if self.standard_names else self.is_standard(path)):
                packages[name] = None
        elif path_of(sys.modules.get(name.split(".")[0])) is None:
            # A namespace has no version; the distribution has.
            owner = self.owner_of(path)
            found = distribution(*owner) if owner else None
            if found is not None:
                packages[found[0]] = found[1]

    def recall(self):
        """What earlier runs have seen imported during calls: part of the function although not loaded yet."""
        modules, packages = {}, {}
        for entry in self.remembered:
            kind, _, what = entry.partition(" ")
            if kind == "package":
                packages[what] = version(what)
                continue
            path = self.resolve(what)
            data = read(path) if path else None
            if data is not None and what not in self.modules:
                self.labels.setdefault(what, path)
                self.places.setdefault(what, containing_file(path))
                modules[what] = blake2(data)
        self.modules.update(modules)
        self.packages.update(packages)
        return modules, packages

    def late(self):
        """What was loaded since the last look and is not in the fingerprint: modules that are other ones
        than before, and those that are new, with packages where these count."""
        modules, packages = self.look()
        changed = [label for label in modules if label in self.modules]
        new = [label for label in modules if label not in self.modules]
        new = [label for label in new if os.path.realpath(self.labels.get(label, "")) not in self.declared]
        self.packages.update(packages)
        entries = ["module " + label for label in sorted(new)]
        if self.strict:
            entries += ["package " + name for name in sorted(packages)]
        return sorted(changed), entries


def same_file(one, other):
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def path_of(module):
    """The file of a module, by an absolute path; None for what is built in or has none."""
    spec = attribute(module, "__spec__")
    for path in (attribute(module, "__file__"), getattr(spec, "origin", None)):
        if isinstance(path, str) and os.path.isabs(path):
            return os.path.normpath(path)
        if isinstance(path, str) and path.endswith(SUFFIXES):
            return os.path.abspath(path)
    return None


def source_of(name, module):
    """The source of a module whose file is gone or never was."""
    loader = getattr(attribute(module, "__spec__"), "loader", None)
    try:
        return loader.get_source(name).encode("utf-8", "surrogateescape")
    except Exception:
        return None


def version(name):
    try:
        from importlib import metadata

        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
        found = metadata.packages_distributions().get(name) if hasattr(metadata, "packages_distributions") else None
        if found:
            return metadata.version(found[0])
    except Exception:
        pass
    return str(getattr(sys.modules.get(name), "__version__", "unknown"))


def distribution(folder, info):
    """Name and version of a distribution by its folder of metadata."""
    try:
        import pathlib
        from importlib import metadata

        found = metadata.PathDistribution(pathlib.Path(folder) / info)
        return found.metadata["Name"], found.version
    except Exception:
        return None


