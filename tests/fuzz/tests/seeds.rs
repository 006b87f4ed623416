//! The targets over their seeds and over what a byte more or less makes of them: what every
//! build can afford of fuzzing.

#[cfg(test)]
mod seeds {
    use std::fs;
    use std::path::Path;

    fn over(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut count = 0;
        for seed in fs::read_dir(folder).unwrap() {
            let bytes = fs::read(seed.unwrap().path()).unwrap();
            target(&bytes);
            for cut in (0..bytes.len()).step_by(bytes.len() / 16 + 1) {
                let (before, after) = bytes.split_at(cut);
                target(before);
                target(&[before, after.get(1..).unwrap_or_default()].concat());
                target(&[before, b"\"{\xff,=;", after].concat());
            }
            count += 1;
        }
        assert!(count > 0, "no seeds of {name}");
    }

    #[test]
    fn headers() {
        over("headers", tidegate_fuzz::headers);
    }

    #[test]
    fn template() {
        over("template", tidegate_fuzz::template);
    }

    #[test]
    fn structured_fields() {
        over("structured-fields", tidegate_fuzz::structured_fields);
    }
}
