/// One entry of the table: everything the parser, the hints, the reference, the example and the dump know of a
/// directive.
struct Directive: Sendable {
    var name: String
    /// The blocks it may stand in.
    var blocks: [BlockKind]
    /// What may follow the name: the first form whose keyword matches, else the one that begins with a value.
    var forms: [Form]
    /// The arguments that count when it is not given; nil = nothing does.
    var defaultText: String?
    /// What the default is when it depends on something else.
    var defaultNote: String?
    var isRepeatable = false
    /// Whether its block is invalid without it.
    var isRequired = false
    /// Whether a running proxy takes up a change.
    var isReloadable = true
    var since = "0.1"
    var help: String
    /// Arguments for the reference and the example.
    var example: String
    /// Where `example` has no block: arguments that have one, which the example file shows, too, as a comment.
    var blockExample: String?
    /// Whether the example file gives it; else it stands there as a comment, with its default.
    var isInExample = false
    /// Keywords of a later version, refused with a message of their own.
    var planned: [String] = []
}

/// Where a directive may stand.
enum BlockKind: String, Sendable, CaseIterable {
    case top = "top level"
    case listen
    case listenTLS = "listen tls"
    case admin
    case storeEmbedded = "store embedded"
    case encryption
    case storeMemory = "store memory"
    case upstream
    case upstreamTLS = "upstream tls"
    case healthCheck = "health_check"
    case route
    case idempotency
    case hash
    case jwt = "scope jwt"
    case probe = "on_unknown probe"
    case probeCondition = "found/absent"
    case probeAnswer = "answer"

    /// For messages: `block 'route'` or `the top level`.
    var inWords: String {
        self == .top ? "the top level" : "block '\(rawValue)'"
    }
}

/// One way to write a directive's arguments.
struct Form: Sendable {
    enum BlockUse: Sendable {
        case none
        case optional(BlockKind)
        case required(BlockKind)
    }

    var parameters: [Parameter]
    var block = BlockUse.none

    /// A form without block.
    static func of(_ parameters: Parameter...) -> Form {
        Form(parameters: parameters)
    }

    /// A form with block.
    static func of(_ parameters: Parameter..., block: BlockUse) -> Form {
        Form(parameters: parameters, block: block)
    }

    /// The keyword that selects the form.
    var keyword: String? {
        if case .keyword(let keyword) = parameters.first { keyword } else { nil }
    }

    var blockKind: BlockKind? {
        switch block {
        case .none: nil
        case .optional(let kind), .required(let kind): kind
        }
    }
}

/// One place for an argument.
enum Parameter: Sendable {
    case keyword(String)
    case value(ValueType)
    /// May be left out; the last one.
    case optional(ValueType)
    /// A keyword that may be left out; the last one.
    case optionalKeyword(String)
    /// One or more; the last one.
    case many(ValueType)
    /// Any number; the last one.
    case rest(ValueType)
}

/// What an argument must be.
enum ValueType: Sendable {
    case integer(ClosedRange<UInt64>)
    /// Milliseconds.
    case duration(ClosedRange<UInt64>)
    /// Octets.
    case size(ClosedRange<UInt64>)
    case listenAddress
    case serverURL
    /// An absolute path of a file or directory.
    case filePath
    /// A file that is read; a relative path starts at the configuration file that names it.
    case inputFile
    case logDestination
    case pattern
    case permissions
    case upstreamName
    case prefixPath
    case exactPath
    case regex
    /// The target of a request: path and perhaps query.
    case requestPath
    case host
    case method
    case fieldName
    case cookieName
    case parameterName
    case jsonPointer
    case statuses
    case addressBlock
    /// One of these words.
    case choice([String])
    /// A DNS name or an address, without port.
    case serverName
    /// Any text but the empty one.
    case word
    /// A value that only `env()` and `file()` may give.
    case secret
    /// An XPath 1.0 expression. What depends on its use is checked where the model is built.
    case xpath
    /// A prefix of XML names.
    case namespacePrefix
    /// A target with values of the request in it.
    case requestTemplate
    /// A field's value with values of the request in it.
    case fieldTemplate
    /// A text with values of the request and of the probe's answer in it.
    case answerTemplate
    /// `http(s)://HOST:PORT/TARGET`.
    case webhookURL

    /// As the syntax of the reference shows it.
    var label: String {
        switch self {
        case .integer: "NUMBER"
        case .duration: "DURATION"
        case .size: "SIZE"
        case .listenAddress: "ADDRESS"
        case .serverURL: "URL"
        case .filePath: "PATH"
        case .inputFile: "FILE"
        case .logDestination: "stdout|stderr|PATH"
        case .pattern: "GLOB"
        case .permissions: "MODE"
        case .upstreamName, .fieldName, .cookieName, .parameterName, .serverName: "NAME"
        case .prefixPath, .exactPath: "[HOST]/PATH"
        case .regex: "REGEX"
        case .requestPath: "PATH"
        case .host: "HOST"
        case .method: "METHOD"
        case .jsonPointer: "/POINTER"
        case .statuses: "STATUS"
        case .addressBlock: "CIDR"
        case .word: "TEXT"
        case .secret: "SECRET"
        case .xpath: "XPATH"
        case .namespacePrefix: "PREFIX"
        case .requestTemplate, .fieldTemplate, .answerTemplate: "TEMPLATE"
        case .webhookURL: "URL"
        case .choice(let words): words.joined(separator: "|")
        }
    }
}

extension Directive {
    /// Whether it brings in other files, and so stands for what these hold.
    var isFileInclude: Bool {
        if case .value(.pattern) = forms.first?.parameters.first { true } else { false }
    }

    /// Whether it stands at the top level for all, and in inner blocks for one.
    var isShared: Bool {
        blocks.count > 1 && blocks.contains(.top)
    }

    /// `name arguments;` in all its forms, for the reference.
    var syntax: [String] {
        var simple: [[String]] = []
        var lines: [String] = []
        for form in forms {
            let parts = form.parameters.map(\.syntax)
            switch form.block {
            case .none where parts.count == 1:
                simple.append(parts)
            case .none:
                lines.append(([name] + parts).joined(separator: " ") + ";")
            case .optional:
                lines.append(([name] + parts).joined(separator: " ") + " [{ … }]")
            case .required:
                lines.append(([name] + parts).joined(separator: " ") + " { … }")
            }
        }
        if !simple.isEmpty {
            lines.insert(name + " " + simple.map { $0[0] }.joined(separator: " | ") + ";", at: 0)
        }
        return lines
    }
}

extension Parameter {
    var syntax: String {
        switch self {
        case .keyword(let keyword): keyword
        case .value(let type): type.label
        case .optional(let type): "[\(type.label)]"
        case .optionalKeyword(let keyword): "[\(keyword)]"
        case .many(.choice(let words)): "(\(words.joined(separator: "|")))…"
        case .many(let type): "\(type.label)…"
        case .rest(let type): "[\(type.label)…]"
        }
    }
}
