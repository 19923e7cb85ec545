import Configuration
import Glibc
import Transport

extension FileInspection {
    /// Reads the files as the proxy does at its start, where a certificate that has expired is better than none.
    static let system = inspection(refusesExpired: false)

    /// Reads them as a reload does, where the certificate in use is better than one that has expired.
    static let reload = inspection(refusesExpired: true)

    private static func inspection(refusesExpired: Bool) -> FileInspection {
        FileInspection(
            certificate: { findings(of: $0, refusesExpired: refusesExpired) },
            authorities: { path in
                var options = TLSClientContext.Options()
                options.caPath = path
                do throws(TLSError) {
                    _ = try TLSClientContext(options)
                    return []
                } catch {
                    return [Finding(.chain, error.problem, hint: error.hint)]
                }
            },
            secret: { secretExposure(of: $0).map { [$0] } ?? [] },
            publicKey: { algorithm, path in
                tokenKeyFindings { () throws(TokenKeyFileError) in _ = try TokenKeys.key(algorithm, at: path) }
            },
            keySet: { path, algorithms in
                tokenKeyFindings { () throws(TokenKeyFileError) in
                    _ = try TokenKeys.keys(ofSet: path, for: algorithms)
                }
            },
            ticketKeys: { path in
                do throws(TLSError) {
                    _ = try TicketKeyFile.read(path)
                    return exposure(of: path).map { [$0] } ?? []
                } catch {
                    return [Finding(.key, error.problem, hint: error.hint)]
                }
            })
    }

    /// A secret that every user can read is none.
    private static func secretExposure(of path: String) -> Finding? {
        guard let mode = mode(of: path), mode & (S_IRGRP | S_IROTH) != 0 else { return nil }
        let text = String(mode, radix: 8)
        return mode & S_IROTH != 0
            ? Finding(.key, "every user can read the secret (mode 0\(text))", hint: "chmod 0600 it")
            : Finding(
                .key, "the secret's group can read it (mode 0\(text))", hint: "chmod 0600 it", isWarning: true)
    }

    private static func findings(of certificate: Configuration.Certificate, refusesExpired: Bool) -> [Finding] {
        let options = TLSServerContext.Options(certificates: [
            TLSCertificateFiles(chainPath: certificate.chainPath, keyPath: certificate.keyPath)
        ])
        var findings: [Finding] = []
        do throws(TLSError) {
            let context = try TLSServerContext(options)
            // The key's mode is looked at below, also that of a key which cannot be used.
            for problem in context.warnings where problem.kind != .exposedKey {
                findings.append(finding(problem, certificate, isWarning: !refusesExpired))
            }
            if findings.isEmpty { findings += context.expiries.compactMap { nearEnd(of: $0) } }
        } catch {
            findings.append(finding(error, certificate))
        }
        if let exposure = exposure(of: certificate.keyPath) { findings.append(exposure) }
        return findings
    }

    private static func mode(of path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : nil
    }

    private static func tokenKeyFindings(_ read: () throws(TokenKeyFileError) -> Void) -> [Finding] {
        do throws(TokenKeyFileError) {
            try read()
            return []
        } catch {
            return [Finding(.key, error.description, hint: error.hint)]
        }
    }

    private static func finding(
        _ error: TLSError, _ certificate: Configuration.Certificate, isWarning: Bool = false
    ) -> Finding {
        Finding(
            error.path == certificate.keyPath ? .key : .chain, error.problem, hint: error.hint, isWarning: isWarning)
    }

    /// Operators hear of it two weeks before, as from the log (operations.md §1.6).
    private static func nearEnd(of expiry: TLSExpiry) -> Finding? {
        let days = (expiry.notAfterUnixSeconds - Int64(time(nil))) / 86_400
        guard days < 14 else { return nil }
        let end = days < 1 ? "within a day" : days == 1 ? "in 1 day" : "in \(days) days"
        return Finding(.chain, "the certificate expires \(end)", hint: "renew it", isWarning: true)
    }

    /// A private key is for the proxy only.
    static func exposure(of path: String) -> Finding? {
        guard let mode = mode(of: path), mode & (S_IRGRP | S_IROTH) != 0 else { return nil }
        let text = String(mode, radix: 8)
        return mode & S_IROTH != 0
            ? Finding(.key, "every user can read the key (mode 0\(text))", hint: "chmod 0600 it", isWarning: true)
            : Finding(
                .key, "the key's group can read it (mode 0\(text))", hint: "chmod 0600 it, where the proxy owns it",
                isWarning: true)
    }
}

extension TLSError {
    fileprivate var hint: String? { advice.isEmpty ? nil : advice }
}
