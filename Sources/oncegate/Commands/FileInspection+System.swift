import Configuration
import Glibc

extension FileInspection {
    /// Opens the files as the proxy does at its start.
    static let system = FileInspection(
        certificate: { certificate in
            var findings: [Finding] = []
            if let problem = problem(reading: certificate.chainPath) { findings.append(Finding(.chain, problem)) }
            if let problem = problem(reading: certificate.keyPath) {
                findings.append(Finding(.key, problem))
            } else if let finding = exposure(of: certificate.keyPath) {
                findings.append(finding)
            }
            return findings
        },
        authorities: { path in
            problem(reading: path).map { [Finding(.chain, $0)] } ?? []
        })

    /// A private key is for its owner only.
    private static func exposure(of path: String) -> Finding? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & (S_IRGRP | S_IROTH) != 0 else { return nil }
        let mode = String(status.st_mode & 0o777, radix: 8)
        return Finding(
            .key, "can be read by others (mode 0\(mode))", hint: "chmod 0600 it", isWarning: true)
    }

    private static func problem(reading path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "cannot be read: \(String(cString: strerror(errno)))" }
        close(descriptor)
        return nil
    }
}
