import Glibc

/// The world a configuration may ask for. Tests give one of their own.
package struct ConfigurationFiles: Sendable {
    package struct Failure: Error, Sendable, Equatable {
        package var message: String

        package init(message: String) {
            self.message = message
        }
    }

    package var read: @Sendable (_ path: String) -> Result<[UInt8], Failure>
    /// The paths that match a pattern, in the order of their octets.
    package var matches: @Sendable (_ pattern: String) -> [String]
    package var environment: @Sendable (_ name: String) -> String?

    package init(
        read: @escaping @Sendable (_ path: String) -> Result<[UInt8], Failure>,
        matches: @escaping @Sendable (_ pattern: String) -> [String],
        environment: @escaping @Sendable (_ name: String) -> String?
    ) {
        self.read = read
        self.matches = matches
        self.environment = environment
    }

    /// The machine's.
    package static let system = ConfigurationFiles(
        read: readFile,
        matches: { pattern in
            var found = unsafe glob_t()
            defer { unsafe globfree(&found) }
            guard unsafe glob(pattern, 0, nil, &found) == 0 else { return [] }
            // gl_pathv holds gl_pathc strings until globfree.
            let paths = (0..<Int(unsafe found.gl_pathc)).compactMap { index in
                unsafe found.gl_pathv[index].map { unsafe String(cString: $0) }
            }
            return paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        },
        environment: { name in
            unsafe getenv(name).map { unsafe String(cString: $0) }
        })

    /// The path from the root on.
    func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory = unsafe getcwd(nil, 0) else { return path }
        // getcwd has allocated the text.
        defer { unsafe free(directory) }
        let base = unsafe String(cString: directory)
        let relative = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        return base == "/" ? base + relative : base + "/" + relative
    }

    private static let octetsMax = 4 << 20

    private static func readFile(_ path: String) -> Result<[UInt8], Failure> {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(failure()) }
        defer { close(descriptor) }
        var octets: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failure(failure()) }
            guard count > 0 else { return .success(octets) }
            octets += chunk[..<count]
            guard octets.count <= octetsMax else {
                return .failure(Failure(message: "larger than \(octetsMax >> 20) MiB"))
            }
        }
    }

    private static func failure() -> Failure {
        // strerror's text lives until the next call on this thread.
        unsafe Failure(message: String(cString: strerror(errno)))
    }
}
