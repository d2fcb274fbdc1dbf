//! Splits source code into words and signs. Ignores comments, string literals and code that is compiled only
//! for tests.

/// A token: a word, `::`, or another single sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Line of the token, counted from 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(is_of_word)
    }
}

fn is_of_word(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

/// The code in a file that is compiled outside tests.
#[derive(Default)]
pub(crate) struct Code {
    pub(crate) tokens: Vec<Token>,
    /// Modules that are declared only for tests.
    pub(crate) test_modules: Vec<String>,
}

impl Code {
    pub(crate) fn read(source: &str) -> Self {
        const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
        let all = tokens(source);
        let (mut code, mut rest) = (Self::default(), all.as_slice());
        while let Some((first, after)) = rest.split_first() {
            let is_test =
                rest.len() > TEST.len() && rest.iter().zip(TEST).all(|(token, text)| token.is(text));
            if !is_test {
                code.tokens.push(first.clone());
                rest = after;
                continue;
            }
            rest = &rest[TEST.len()..];
            let (item, after) = rest.split_at(item_len(rest));
            if let Some([_, name, end]) = item.windows(3).find(|three| three[0].is("mod"))
                && end.is(";")
            {
                code.test_modules.push(name.text.clone());
            }
            rest = after;
        }
        code
    }
}

fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(len) = text(rest) {
            len
        } else {
            let len = match first {
                _ if is_of_word(first) => rest.find(|sign| !is_of_word(sign)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                tokens.push(Token { text: rest[..len].to_owned(), line });
            }
            len
        };
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    tokens
}

/// Returns the length of a comment between `/*` and `*/`. It may contain other such comments.
fn block_comment(source: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < source.len() {
        let rest = &source.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    source.len()
}

/// Returns the length of a string, character or lifetime literal, if one begins here.
fn text(source: &str) -> Option<usize> {
    if let Some(after) = source.strip_prefix('\'') {
        // `'a'` and `'\n'` are characters, but `'a` is a lifetime.
        let mut signs = after.char_indices();
        let (_, first) = signs.next()?;
        if first == '\\' {
            return after.char_indices().skip(2).find(|(_, sign)| *sign == '\'').map(|(end, _)| end + 2);
        }
        let (second, sign) = signs.next()?;
        return Some(if sign == '\'' { second + 2 } else { 1 });
    }
    let prefix = source.find(|sign: char| !matches!(sign, 'b' | 'c' | 'r'))?;
    let (prefix, after) = source.split_at(prefix);
    let hashes = after.find(|sign| sign != '#')?;
    if !after[hashes..].starts_with('"') {
        return None;
    }
    if prefix.contains('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = &after[hashes + 1..];
        return Some(prefix.len() + hashes + 1 + body.find(&end).map_or(body.len(), |at| at + end.len()));
    }
    if hashes > 0 {
        return None;
    }
    let mut is_escaped = false;
    for (at, sign) in after.char_indices().skip(1) {
        match sign {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(source.len())
}

/// Returns the number of tokens of an item, up to `;` or to the end of its braces.
fn item_len(tokens: &[Token]) -> usize {
    let mut depth = 0;
    let is_use = tokens.iter().find(|token| ["use", "mod", "fn", "impl"].contains(&token.text.as_str()));
    let is_use = is_use.is_some_and(|token| token.is("use"));
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && token.is("}") && !is_use {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}
