//! Reads a crate's modules and the paths in them, and finds which file uses which item of which other file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::tokens::{Code, Token};

/// An edge states that a file uses an item that another file of the same crate defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    /// Files, relative to the folder of the crate's source code.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) item: String,
}

/// All modules of a crate that have a file.
#[derive(Default)]
pub(crate) struct Modules(Vec<Module>);

#[derive(Default)]
struct Module {
    /// The module's path. It is empty for the crate's root.
    path: Vec<String>,
    file: String,
    /// Names that `use` imports.
    imports: Vec<Import>,
    /// Modules from which `use` imports all names.
    globs: Vec<Vec<String>>,
    /// Paths that the code contains outside `use`.
    paths: Vec<Vec<String>>,
    /// Single words outside `use`.
    words: BTreeSet<String>,
    /// Names of the functions, types, constants and macros that the module defines.
    defined: BTreeSet<String>,
    test_modules: Vec<String>,
}

struct Import {
    /// The name of the import in this module.
    name: String,
    path: Vec<String>,
    is_public: bool,
}

/// The target of a path: a module, and an item that the module defines. The item is `None` if the path names
/// the module itself.
type Place<'a> = (&'a Module, Option<&'a str>);

/// Keywords that precede the name that they define.
const DEFINING: [&str; 7] = ["fn", "struct", "enum", "trait", "type", "const", "static"];

/// Maximum number of imports that refer to other imports in a chain.
const LONGEST_CHAIN: usize = 16;

impl Modules {
    /// Reads all source files in a folder.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        find_sources(folder, folder, &mut files);
        files.sort();
        let sources =
            files.iter().map(|file| (file.as_str(), fs::read_to_string(folder.join(file)).unwrap()));
        Self::of(sources)
    }

    /// Creates the modules from files with names such as `network/weights.rs`.
    pub(crate) fn of<'a, S: AsRef<str>>(sources: impl IntoIterator<Item = (&'a str, S)>) -> Self {
        let mut modules: Vec<Module> =
            sources.into_iter().map(|(file, source)| Module::read(file, source.as_ref())).collect();
        let tests: BTreeSet<Vec<String>> = modules
            .iter()
            .flat_map(|module| module.test_modules.iter().map(|name| joined(&module.path, name)))
            .collect();
        modules.retain(|module| !(1..=module.path.len()).any(|len| tests.contains(&module.path[..len])));
        Self(modules)
    }

    /// Returns the names of the files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|module| module.file.as_str())
    }

    /// Returns every use of a file by another file. A module that only re-exports items of its submodules
    /// does not use them.
    pub(crate) fn edges(&self) -> BTreeSet<Edge> {
        self.0.iter().flat_map(|module| self.used_by(module)).collect()
    }

    fn used_by<'a>(&'a self, module: &'a Module) -> Vec<Edge> {
        let mut places: Vec<Place> = Vec::new();
        for import in &module.imports {
            let Some((used, item)) = self.resolve(module, &import.path, 0) else { continue };
            let only_exports = import.is_public && !module.words.contains(&import.name);
            if !(only_exports && used.path.starts_with(&module.path)) {
                places.push((used, item));
            }
        }
        for glob in &module.globs {
            match self.resolve(module, glob, 0) {
                Some((used, None)) => {
                    let names = module.words.iter().filter(|word| self.declares(used, word));
                    places.extend(names.filter_map(|name| self.inside(used, std::slice::from_ref(name), 0)));
                }
                found => places.extend(found),
            }
        }
        places.extend(module.paths.iter().filter_map(|path| self.resolve(module, path, 0)));
        let others = places.into_iter().filter(|(used, _)| used.path != module.path);
        // If an import names only a module, the uses are the paths through this module.
        let edge = |(used, item): Place| {
            Some(Edge { from: module.file.clone(), to: used.file.clone(), item: item?.to_owned() })
        };
        others.filter_map(edge).collect()
    }

    /// Resolves a path that occurs in a module. Returns `None` if the path leaves the crate.
    fn resolve<'a>(&'a self, from: &'a Module, path: &'a [String], chain: usize) -> Option<Place<'a>> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => self.at(&[])?,
            "self" => from,
            "super" => self.parent(from)?,
            _ if !self.declares(from, first) => return None,
            _ => return self.inside(from, path, chain),
        };
        while let Some(("super", after)) = rest.split_first().map(|(first, after)| (first.as_str(), after)) {
            (at, rest) = (self.parent(at)?, after);
        }
        self.inside(at, rest, chain)
    }

    /// Resolves a path relative to the names in a module.
    fn inside<'a>(&'a self, at: &'a Module, path: &'a [String], chain: usize) -> Option<Place<'a>> {
        let Some((first, rest)) = path.split_first() else { return Some((at, None)) };
        if chain > LONGEST_CHAIN {
            return None;
        }
        if let Some(child) = self.at(&joined(&at.path, first)) {
            return self.inside(child, rest, chain);
        }
        if let Some(import) = at.imports.iter().find(|import| import.name == *first) {
            return match self.resolve(at, &import.path, chain + 1) {
                Some((module, None)) => self.inside(module, rest, chain + 1),
                found => found,
            };
        }
        let mut globs = at.globs.iter().filter_map(|glob| self.resolve(at, glob, chain + 1));
        let through = globs.find(|(module, item)| item.is_none() && self.declares(module, first));
        match through {
            Some((module, _)) => self.inside(module, path, chain + 1),
            None => Some((at, Some(first))),
        }
    }

    /// Whether a name has a meaning in a module without a path before it.
    fn declares(&self, module: &Module, name: &str) -> bool {
        self.at(&joined(&module.path, name)).is_some()
            || module.imports.iter().any(|import| import.name == name)
            || module.defined.contains(name)
    }

    fn at(&self, path: &[String]) -> Option<&Module> {
        self.0.iter().find(|module| module.path == path)
    }

    fn parent(&self, module: &Module) -> Option<&Module> {
        self.at(module.path.split_last()?.1)
    }
}

impl Module {
    fn read(file: &str, source: &str) -> Self {
        let code = Code::read(source);
        let mut path: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        path.pop_if(|last| last == "mod" || file == "lib.rs");
        let mut module =
            Self { path, file: file.to_owned(), test_modules: code.test_modules, ..Self::default() };
        for pair in code.tokens.windows(2).filter(|pair| DEFINING.contains(&pair[0].text.as_str())) {
            module.defined.insert(pair[1].text.clone());
        }
        let (mut rest, mut is_public) = (code.tokens.as_slice(), false);
        while let Some((first, after)) = rest.split_first() {
            if first.is("use") && !after.first().is_some_and(|next| next.is("<")) {
                rest = module.read_use(after, &[], is_public);
            } else if first.is("mod") {
                // The declaration of a module is not a use of the module.
                rest = after.get(1..).unwrap_or_default();
            } else if first.is_word() {
                let mut segments = vec![first.text.clone()];
                rest = after;
                while let [sign, next, after @ ..] = rest
                    && sign.is("::")
                    && next.is_word()
                {
                    segments.push(next.text.clone());
                    rest = after;
                }
                module.words.insert(first.text.clone());
                if segments.len() > 1 {
                    module.paths.push(segments);
                }
            } else {
                rest = after;
            }
            // A `use` after `pub` or `pub(crate)` is public.
            is_public = first.is("pub") || first.is(")");
        }
        module
    }

    /// Reads one path in a `use`, or a list of paths. `before` is the path that precedes it. Returns the
    /// remaining tokens.
    fn read_use<'a>(&mut self, tokens: &'a [Token], before: &[String], is_public: bool) -> &'a [Token] {
        let (mut path, mut rest) = (before.to_vec(), tokens);
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first.text.as_str() {
                "::" => {}
                "*" => {
                    self.globs.push(path);
                    break;
                }
                "{" => {
                    while let Some((next, after)) = rest.split_first() {
                        if next.is("}") {
                            rest = after;
                            break;
                        }
                        rest = if next.is(",") { after } else { self.read_use(rest, &path, is_public) };
                    }
                    break;
                }
                // `a::{self}` means `a`.
                "self" if !path.is_empty() => {}
                name => path.push(name.to_owned()),
            }
            let name = match rest {
                [sign, ..] if sign.is("::") => continue,
                [sign, name, after @ ..] if sign.is("as") => {
                    rest = after;
                    name.text.clone()
                }
                _ if first.is("::") => continue,
                _ => path.last().cloned().unwrap_or_default(),
            };
            self.imports.push(Import { name, path, is_public });
            break;
        }
        rest
    }
}

fn joined(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

fn find_sources(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_sources(root, &path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let name = path.strip_prefix(root).unwrap();
            found.push(name.to_str().unwrap().replace(std::path::MAIN_SEPARATOR, "/"));
        }
    }
}
