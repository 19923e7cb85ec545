/// What asks the service about an unknown outcome.
extension Directives {
    static let probe: [Directive] = [
        Directive(
            name: "get", blocks: [.probe], forms: [.of(.value(.requestTemplate))], isRequired: true,
            help:
                "What is asked for. {body.json(/POINTER)}, {body.xpath(EXPR)}, {body.form(NAME)}, {header(NAME)}, "
                + "{query(NAME)} and {key} stand for values of the request, percent-encoded; {{ and }} for braces. "
                + "They must be the same in every attempt: part of the key or scope, or counted by the fingerprint.",
            example: "\"/orders?ref={body.json(/reference)}\"", isInExample: true),
        Directive(
            name: "header", blocks: [.probe], forms: [.of(.value(.fieldName), .value(.fieldTemplate))],
            isRepeatable: true,
            help:
                "A field that the probe carries. {header(Authorization)} and {header(Cookie)} may stand in it, too, "
                + "though they may be renewed between attempts.",
            example: "Accept application/json"),
        Directive(
            name: "forward", blocks: [.probe], forms: [.of(.many(.fieldName))], defaultNote: "none",
            help: "Fields of the request that the probe carries, too.", example: "Authorization"),
        Directive(
            name: "found", blocks: [.probe], forms: [.of(.many(.statuses), block: .optional(.probeCondition))],
            isRepeatable: true, isRequired: true,
            help:
                "The probe's answers that say the request was executed: a status and all that the block says. The "
                + "record is completed.",
            example: "200", blockExample: "200", isInExample: true),
        Directive(
            name: "absent", blocks: [.probe], forms: [.of(.many(.statuses), block: .optional(.probeCondition))],
            isRepeatable: true,
            help:
                "Those that say it was not: the claim is released. found is looked at first; what is neither stays "
                + "unknown.",
            example: "404", isInExample: true),
        Directive(
            name: "absent_after", blocks: [.probe], forms: [.of(.value(.duration(0...86_400_000)))],
            defaultText: "60s",
            help:
                "How long after an outcome became unknown, or after a restart, absent is believed: longer than the "
                + "service ever takes from getting a request to showing its effect. While the first attempt may still "
                + "be answered, absent is not believed at all.",
            example: "5m"),
        Directive(
            name: "answer", blocks: [.probe],
            forms: [.of(.keyword("probe")), .of(.value(.statuses), block: .required(.probeAnswer))],
            defaultText: "probe",
            help: "What completes the record: the probe's own answer, or one that is made of it.", example: "probe",
            blockExample: "201"),
        Directive(
            name: "field", blocks: [.probeAnswer], forms: [.of(.value(.fieldName), .value(.answerTemplate))],
            isRepeatable: true,
            help:
                "A field of the answer. {probe.json(/POINTER)}, {probe.xpath(EXPR)}, {probe.header(NAME)} and "
                + "{probe.body} stand for values of the probe's answer, beside those of the request.",
            example: "Location \"/orders/{probe.json(/id)}\"", isInExample: true),
        Directive(
            name: "body", blocks: [.probeAnswer], forms: [.of(.value(.answerTemplate))], defaultNote: "empty",
            help: "Its content; values are escaped for JSON or XML by the answer's Content-Type.",
            example: "\"{probe.body}\"", isInExample: true),
        Directive(
            name: "json", blocks: [.probeCondition], forms: [.of(.value(.jsonPointer), .rest(.word))],
            isRepeatable: true,
            help: "The body has a value there and, where words follow, it is one of them.",
            example: "/status paid settled"),
        Directive(
            name: "xpath", blocks: [.probeCondition], forms: [.of(.value(.xpath), .rest(.word))], isRepeatable: true,
            help: "The expression selects something or is true and, where words follow, its text is one of them.",
            example: "\"//order[@state='paid']\""),
        Directive(
            name: "contains", blocks: [.probeCondition], forms: [.of(.value(.word))], isRepeatable: true,
            help: "The body holds this text.", example: "\"\\\"paid\\\"\""),
        Directive(
            name: "timeout", blocks: [.probe], forms: [.of(.value(.duration(1...600_000)))], defaultText: "5s",
            help: "How long one probe may take.", example: "2s"),
        Directive(
            name: "background", blocks: [.probe],
            forms: [
                .of(.keyword("off")),
                .of(.value(.duration(100...86_400_000)), .optional(.duration(100...86_400_000))),
            ],
            defaultText: "off",
            help:
                "Probes that no repeat asks for: the first interval, doubled each time up to the second. off = only "
                + "when a repeat meets the record. After a restart they are not resumed.",
            example: "5s 10m"),
        Directive(
            name: "max_attempts", blocks: [.probe], forms: [.of(.value(.integer(1...10_000)))], defaultText: "20",
            help: "Probes of one record in the background.", example: "100"),
    ]
}
