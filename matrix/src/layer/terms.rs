//! Which licences a text has, by sentences that no other licence has.

use std::collections::BTreeSet;

/// Licences by their SPDX identifiers, each with beginnings of sentences of which one has to be there.
const SENTENCES: [(&str, &[&str]); 8] = [
    (
        "Apache-2.0",
        &[
            "Apache License Version 2.0, January 2004",
            "Licensed under the Apache License, Version 2.0 (the \"License\")",
        ],
    ),
    (BSD_3, &["may be used to endorse or promote products", "may not be used to endorse or promote products"]),
    ("CC0-1.0", &["creativecommons.org/share-your-work/public-domain/cc0", "creativecommons.org/public-domain/cc0"]),
    ("GPL-2.0-only", &["GNU GENERAL PUBLIC LICENSE Version 2, June 1991"]),
    ("ISC", &["Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"]),
    ("MIT", &["Permission is hereby granted, free of charge, to any person obtaining a copy"]),
    ("MIT-0", &["MIT No Attribution"]),
    (OPENSSL, &["Original SSLeay License"]),
];
const BSD_3: &str = "BSD-3-Clause";
const OPENSSL: &str = "OpenSSL";
/// Three licences have this sentence, and BSD-2-Clause has nothing else to be known by.
const BSD: (&str, &str) = ("BSD-2-Clause", "Redistributions in binary form must reproduce the above copyright notice");

/// The SPDX identifiers of the licences in a text.
pub fn identified(text: &str) -> BTreeSet<&'static str> {
    // Comments in C have a star before each line.
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "*").collect();
    let text = words.join(" ").replace("notice(s)", "notice");
    let has = |sentences: &[&str]| sentences.iter().any(|sentence| text.contains(sentence));
    let mut found: BTreeSet<&str> =
        SENTENCES.iter().filter(|(_, sentences)| has(sentences)).map(|(identifier, _)| *identifier).collect();
    if has(&[BSD.1]) && !found.contains(BSD_3) && !found.contains(OPENSSL) {
        found.insert(BSD.0);
    }
    found
}

/// The SPDX identifiers in an expression.
pub fn identifiers(expression: &str) -> BTreeSet<&str> {
    let words = expression.split([' ', '(', ')']);
    words.filter(|word| !["", "AND", "OR", "WITH"].contains(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_known_by_their_sentences() {
        let cases: [(&str, &[&str]); 5] = [
            ("Apache License\n   Version 2.0, January 2004", &["Apache-2.0"]),
            ("* Redistributions in binary form must\n * reproduce the above copyright notice(s),", &["BSD-2-Clause"]),
            (
                "Redistributions in binary form must reproduce the above copyright notice\nThe name may not be used to\n endorse or promote products",
                &["BSD-3-Clause"],
            ),
            ("Permission is hereby granted, free of charge, to any person obtaining a copy", &["MIT"]),
            ("all rights reserved", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(identified(text).into_iter().collect::<Vec<_>>(), expected, "{text}");
        }
        let own = identified(include_str!("../../../LICENSE"));
        assert_eq!(own.into_iter().collect::<Vec<_>>(), ["Apache-2.0"]);
    }

    #[test]
    fn an_expression_has_its_identifiers() {
        let expression = "(Apache-2.0 OR ISC) AND ISC AND GPL-3.0-or-later WITH GCC-exception-3.1";
        let expected = ["Apache-2.0", "GCC-exception-3.1", "GPL-3.0-or-later", "ISC"];
        assert_eq!(identifiers(expression).into_iter().collect::<Vec<_>>(), expected);
    }
}
