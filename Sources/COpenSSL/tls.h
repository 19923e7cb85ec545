// libssl: macros as functions, and the BIO through which a session gets and gives ciphertext.
#ifndef ONCEGATE_COPENSSL_TLS_H
#define ONCEGATE_COPENSSL_TLS_H

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// MARK: the BIO

// The ciphertext that the session at work may read, and the room for what it writes. All sessions of one thread share
// one: between two calls into libssl the input is used up and the output is taken away.
typedef struct {
    const unsigned char *input;
    size_t input_left;
    unsigned char *output;
    size_t output_used;
    size_t output_capacity;
} oncegate_tls_io;

static inline int oncegate_tls_bio_read(BIO *bio, char *out, int count) {
    oncegate_tls_io *io = (oncegate_tls_io *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (count <= 0) return 0;
    size_t n = (size_t)count < io->input_left ? (size_t)count : io->input_left;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, io->input, n);
    io->input += n;
    io->input_left -= n;
    return (int)n;
}

static inline int oncegate_tls_bio_write(BIO *bio, const char *bytes, int count) {
    oncegate_tls_io *io = (oncegate_tls_io *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (count <= 0) return 0;
    size_t room = io->output_capacity - io->output_used;
    size_t n = (size_t)count < room ? (size_t)count : room;
    if (n == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(io->output + io->output_used, bytes, n);
    io->output_used += n;
    return (int)n;
}

static inline long oncegate_tls_bio_ctrl(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    // Flushing and copying succeed; everything else (kTLS, pending counts, end of file) is not there.
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

// One for the process; NULL without memory.
static inline BIO_METHOD *oncegate_tls_bio_method(void) {
    int type = BIO_get_new_index();
    BIO_METHOD *method = type < 0 ? NULL : BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "ciphertext");
    if (method) {
        BIO_meth_set_read(method, oncegate_tls_bio_read);
        BIO_meth_set_write(method, oncegate_tls_bio_write);
        BIO_meth_set_ctrl(method, oncegate_tls_bio_ctrl);
    }
    return method;
}

// Gives the session a BIO on `io`, which must outlive it. 0 without memory.
static inline int oncegate_tls_attach(SSL *ssl, const BIO_METHOD *method, oncegate_tls_io *io) {
    BIO *bio = BIO_new(method);
    if (!bio) return 0;
    BIO_set_data(bio, io);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return 1;
}

// MARK: contexts

// What every context of ours has. 0 on an error.
static inline int oncegate_tls_harden(SSL_CTX *context, int minimum_version, long chain_octets_max) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(
        context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_security_level(context, 2);
    SSL_CTX_set_max_cert_list(context, chain_octets_max);
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_read_ahead(context, 0);
    // Each connection brings a client the ticket for its next one; libssl's second would cost every handshake.
    SSL_CTX_set_num_tickets(context, 1);
    return (int)SSL_CTX_set_min_proto_version(context, minimum_version);
}

static inline void oncegate_tls_no_tickets(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
}

static inline void oncegate_tls_session_cache(SSL_CTX *context, long mode) {
    SSL_CTX_set_session_cache_mode(context, mode);
}

static inline int oncegate_tls_add_chain(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

static inline void oncegate_tls_on_server_name(SSL_CTX *context, int (*callback)(SSL *, int *, void *)) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
}

static inline int oncegate_tls_set_server_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}

// Names of authorities, a STACK_OF(X509_NAME).
static inline OPENSSL_STACK *oncegate_tls_name_list(void) { return (OPENSSL_STACK *)sk_X509_NAME_new_null(); }
static inline int oncegate_tls_add_name(OPENSSL_STACK *names, X509 *certificate) {
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));
    if (name && sk_X509_NAME_push((STACK_OF(X509_NAME) *)names, name) > 0) return 1;
    X509_NAME_free(name);
    return 0;
}
static inline void oncegate_tls_free_names(OPENSSL_STACK *names) {
    sk_X509_NAME_pop_free((STACK_OF(X509_NAME) *)names, X509_NAME_free);
}
static inline void oncegate_tls_set_client_authorities(SSL_CTX *context, const OPENSSL_STACK *names) {
    SSL_CTX_set_client_CA_list(context, SSL_dup_CA_list((const STACK_OF(X509_NAME) *)names));
}

// MARK: ticket keys

// HMAC-SHA-256 with `key`. 0 on an error.
static inline int oncegate_tls_ticket_mac(EVP_MAC_CTX *context, const unsigned char *key, size_t count) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
    return EVP_MAC_init(context, key, count, parameters);
}

// MARK: names in certificates

// As RFC 2253 writes it, into the BIO. Negative on an error.
static inline int oncegate_tls_print_name(BIO *bio, const X509_NAME *name) {
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
}

static inline long oncegate_tls_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }

// The octets of the i-th name, as they stand in the certificate; NULL for kinds without octets of their own.
static inline const unsigned char *oncegate_tls_name(const GENERAL_NAMES *names, long i, int *kind, size_t *count) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, (int)i);
    const ASN1_STRING *text = NULL;
    *kind = name->type;
    *count = 0;
    if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI) text = name->d.ia5;
    if (name->type == GEN_IPADD) text = name->d.iPAddress;
    if (!text) return NULL;
    *count = (size_t)ASN1_STRING_length(text);
    return ASN1_STRING_get0_data(text);
}

#endif
