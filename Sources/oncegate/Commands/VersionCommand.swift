import ArgumentParser
import COpenSSL
import CSQLite

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the versions of Oncegate and of what it is built on.")

    func run() {
        print("oncegate \(Version.oncegate)")
        print("Swift \(Version.swift)")
        print("SQLite \(String(cString: sqlite3_libversion()))")
        // The text names the library itself: "OpenSSL 3.0.15 3 Sep 2024".
        print(String(cString: OpenSSL_version(OPENSSL_VERSION)))
    }
}

enum Version {
    static let oncegate = "0.1.0"

    /// The compiler's; the language gives it to conditions only.
    static var swift: String {
        #if compiler(>=6.5)
            "6.5 or later"
        #elseif compiler(>=6.4)
            "6.4"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }
}
