//! The handshake by the examples that the protocol's specification publishes (MS-NLMP 4.2.4), and by its rules.

use super::super::encrypted::Seal as _;
use super::*;

const ACCOUNT: Account<'_> = Account { domain: "Domain", user: "User", password: "Password" };
const CHANCE: Chance = Chance { challenge: [0xaa; 8], key: [0x55; 16], now: 0 };

/// The specification's challenge, with further attributes.
fn challenge(flags: u32, more: &[u8]) -> Vec<u8> {
    let mut target = hex::decode("02000c0044006f006d00610069006e0001000c00530065007200760065007200").unwrap();
    target.extend_from_slice(more);
    target.extend_from_slice(&[0; 4]);
    let mut message = b"NTLMSSP\0\x02\0\0\0".to_vec();
    message.extend_from_slice(&[0x0c, 0, 0x0c, 0, 56, 0, 0, 0]);
    message.extend_from_slice(&flags.to_le_bytes());
    message.extend_from_slice(&hex::decode("0123456789abcdef").unwrap());
    message.extend_from_slice(&[0; 8]);
    let length = u16::try_from(target.len()).unwrap().to_le_bytes();
    message.extend_from_slice(&[length, length].concat());
    message.extend_from_slice(&[68, 0, 0, 0]);
    message.extend_from_slice(&VERSION);
    message.extend_from_slice(&utf16("Server"));
    message.extend_from_slice(&target);
    message
}

/// A field of the last message.
fn field(message: &[u8], number: usize) -> &[u8] {
    let at = 12 + number * 8;
    let length = usize::from(u16::from_le_bytes(message[at..at + 2].try_into().unwrap()));
    let offset = u32::from_le_bytes(message[at + 4..at + 8].try_into().unwrap()) as usize;
    &message[offset..offset + length]
}

#[test]
fn the_published_example_comes_out() {
    assert_eq!(hex::encode(response_key(&ACCOUNT)), "0c868a403bfd7a93a3001ef22ef02e3f");
    let handshake = Handshake::new();
    let (message, mut sealer) =
        handshake.answer(&challenge(0xe28a_8233, &[]), &ACCOUNT, &Binding::default(), &CHANCE).unwrap();
    assert_eq!(hex::encode(field(&message, 0)), "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa");
    assert_eq!(hex::encode(&field(&message, 1)[..16]), "68cd0ab851e51c96aabc927bebef6a1c");
    assert_eq!(field(&message, 2), utf16("Domain"));
    assert_eq!(field(&message, 3), utf16("User"));
    assert_eq!(hex::encode(field(&message, 5)), "c5dad2544fc9799094ce1ce90bc9d03e");
    assert_eq!(message[MIC], [0; 16], "no time was told, so there is no code");

    let mut text = utf16("Plaintext");
    let signature = sealer.seal(&mut text).unwrap();
    assert_eq!(hex::encode(&text), "54e50165bf1936dc996020c1811b0f06fb5f");
    assert_eq!(hex::encode(signature), "010000007fb38ec5c55d497600000000");
}

#[test]
fn a_told_time_is_used_and_the_messages_are_bound_together() {
    let time = 0x01db_1234_5678_9abc_u64;
    let mut pair = vec![7, 0, 8, 0];
    pair.extend_from_slice(&time.to_le_bytes());
    let challenge = challenge(0xe28a_8233, &pair);
    let binding = Binding { service: "HTTP/10.0.0.7".into(), channel: Some([7; 16]) };
    let handshake = Handshake::new();
    let (mut message, _) = handshake.answer(&challenge, &ACCOUNT, &binding, &CHANCE).unwrap();
    assert_eq!(field(&message, 0), [0; 24]);
    let proof = field(&message, 1);
    assert_eq!(proof[24..32], time.to_le_bytes(), "the guest's time, whatever ours is");
    let pairs = Pairs::read(&proof[44..]).unwrap();
    let value = |id: u16| pairs.get(id).unwrap();
    assert_eq!(value(6), [2, 0, 0, 0]);
    assert_eq!(value(9), utf16("HTTP/10.0.0.7"));
    assert_eq!(value(10), [7; 16]);

    let code = message[MIC].to_vec();
    message[MIC].fill(0);
    assert_eq!(code, hmac_md5(&[0x55; 16], &[handshake.negotiate(), &challenge, &message]));
}

#[test]
fn both_sides_open_what_the_other_sealed_and_nothing_else() {
    let (mut client, mut server) = (Sealer::client(&[9; 16]), Sealer::server(&[9; 16]));
    for number in 0..3_u8 {
        let mut message = vec![number; 100];
        let signature = client.seal(&mut message).unwrap();
        assert_ne!(message, [number; 100]);
        assert!(server.open(&signature, &mut message));
        assert_eq!(message, [number; 100]);
        let mut answer = b"yes".to_vec();
        let signature = server.seal(&mut answer).unwrap();
        assert!(client.open(&signature, &mut answer));
    }
    let mut message = b"once".to_vec();
    let signature = client.seal(&mut message).unwrap();
    message[0] ^= 1;
    assert!(!server.open(&signature, &mut message), "a changed message is told");
    let mut lost = b"lost".to_vec();
    client.seal(&mut lost).unwrap();
    let mut next = b"next".to_vec();
    let signature = client.seal(&mut next).unwrap();
    assert!(!server.open(&signature, &mut next), "a lost message is told");
}

#[test]
fn weak_and_malformed_challenges_are_refused() {
    let answer = |message: &[u8]| {
        Handshake::new().answer(message, &ACCOUNT, &Binding::default(), &CHANCE).expect_err("it is refused")
    };
    for missing in [SEAL, EXTENDED_SECURITY, STRONG, KEY_EXCHANGE] {
        let why = answer(&challenge(0xe28a_8233 & !missing, &[]));
        assert!(why.contains("no 128-bit sealing"), "{why}");
    }
    let good = challenge(0xe28a_8233, &[]);
    for length in 0..good.len() {
        let why = answer(&good[..length]);
        assert!(why.contains("malformed"), "{length}: {why}");
    }
    let mut long = good.clone();
    long[40..42].copy_from_slice(&[0xff, 0xff]);
    assert!(answer(&long).contains("malformed"));
}

#[cfg(feature = "credssp")]
#[test]
fn a_code_over_a_list_begins_the_key_stream_anew_and_goes_on_counting() {
    let (mut client, mut server) = (Sealer::client(&[9; 16]), Sealer::server(&[9; 16]));
    let code = client.sign(b"the list");
    assert!(server.signed(b"the list", &code));
    assert!(!Sealer::server(&[9; 16]).signed(b"another list", &code));
    let mut message = b"sealed".to_vec();
    let signature = client.seal(&mut message).unwrap();
    let mut first = b"sealed".to_vec();
    Sealer::client(&[9; 16]).seal(&mut first);
    assert_eq!((&message, &signature[12..]), (&first, &1_u32.to_le_bytes()[..]));
    assert!(server.open(&signature, &mut message));
    assert_eq!(message, b"sealed");
}
