/// Where large bodies of covered requests are kept.
extension Directives {
    static let spool: [Directive] = [
        Directive(
            name: "spool_path", blocks: [.top], forms: [.of(.keyword("off")), .of(.value(.filePath))],
            defaultNote: "DIRECTORY/spool with the embedded store, else TMPDIR or /tmp", isReloadable: false,
            help:
                "Where larger bodies of covered requests are kept while they are needed, in files without a name, "
                + "encrypted under keys that are nowhere but in memory. off keeps them in memory.",
            example: "/var/spool/oncegate"),
        Directive(
            name: "spool_threshold", blocks: [.top], forms: [.of(.value(.size(4 << 10...1 << 30)))],
            defaultText: "256KiB", help: "How much of one such body is held in memory.", example: "1MiB"),
        Directive(
            name: "spool_limit", blocks: [.top], forms: [.of(.value(.size(1 << 20...1 << 50)))],
            defaultText: "1GiB", help: "Room for all such files together; 503 beyond.", example: "20GiB"),
    ]
}
