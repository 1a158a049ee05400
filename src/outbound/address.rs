//! Which addresses on the network are the public's: the filter against server-side request forgery. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 blocks that are not global unicast (IANA special-purpose registry), as address and prefix length.
const FORBIDDEN_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::BROADCAST, 32),
];

/// Blocks inside `2000::/3`, the only global unicast space, that are not for the public.
const FORBIDDEN_V6: [(Ipv6Addr, u32); 3] = [
    // IETF protocol assignments, with Teredo and ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// True if anybody may be connected to at this address. An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) is
/// judged by itself: the network would take us there.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !FORBIDDEN_V4.iter().any(|(network, length)| shares_prefix_v4(address, *network, *length))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let [.., a, b, c, d] = address.octets();
    if is_within(address, NAT64) {
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let [_, _, a, b, c, d, ..] = address.octets();
    if is_within(address, SIX_TO_FOUR) && !is_public_v4(Ipv4Addr::new(a, b, c, d)) {
        return false;
    }
    // Everything else that is refused (`::/96` with its embedded IPv4, `100::/64`, `5f00::/16`, unique local, link
    // local, site local, multicast) lies outside `2000::/3`, as does space that nobody has been given yet.
    is_within(address, GLOBAL_UNICAST) && !FORBIDDEN_V6.iter().any(|block| is_within(address, *block))
}

fn shares_prefix_v4(address: Ipv4Addr, network: Ipv4Addr, length: u32) -> bool {
    let difference = address.to_bits() ^ network.to_bits();
    difference.leading_zeros() >= length
}

fn is_within(address: Ipv6Addr, (network, length): (Ipv6Addr, u32)) -> bool {
    let difference = address.to_bits() ^ network.to_bits();
    difference.leading_zeros() >= length
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn judge(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn both_ends_of_every_forbidden_block_are_refused_and_their_neighbors_are_not() {
        // First and last address of the block; the public addresses beside it, if there are such.
        let blocks = [
            ("0.0.0.0", "0.255.255.255", "", "1.0.0.0"),
            ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
            ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
            ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
            ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
            ("192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
            ("192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
            ("192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
            ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
            ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
            ("198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
            ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
            ("224.0.0.0", "255.255.255.255", "223.255.255.255", ""),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "", ""),
            ("100::", "100::ffff:ffff:ffff:ffff", "", ""),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff::", "2001:200::"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::1", "2001:db9::"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::1", "3fff:1000::"),
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""),
            ("::", "::1", "", ""),
        ];
        for (first, last, before, after) in blocks {
            assert!(!judge(first), "{first}");
            assert!(!judge(last), "{last}");
            for neighbor in [before, after].into_iter().filter(|neighbor| !neighbor.is_empty()) {
                assert!(judge(neighbor), "{neighbor}");
            }
        }
    }

    #[test]
    fn public_addresses_pass() {
        for address in ["8.8.8.8", "1.1.1.1", "140.82.112.3", "2606:4700:4700::1111", "2a00:1450:4001:80b::200e"] {
            assert!(judge(address), "{address}");
        }
    }

    #[test]
    fn an_embedded_ipv4_address_is_judged() {
        for (inner, is_public) in
            [("127.0.0.1", false), ("10.1.2.3", false), ("169.254.169.254", false), ("8.8.8.8", true)]
        {
            let [a, b, c, d] = inner.parse::<Ipv4Addr>().unwrap().octets();
            let six_to_four = format!("2002:{:x}:{:x}::1", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            assert_eq!(judge(&format!("::ffff:{inner}")), is_public, "{inner}");
            assert_eq!(judge(&format!("64:ff9b::{inner}")), is_public, "{inner}");
            assert_eq!(judge(&six_to_four), is_public, "{six_to_four}");
            // Deprecated and unroutable: never, whatever is inside.
            assert!(!judge(&format!("::{inner}")), "{inner}");
        }
    }

    #[test]
    fn space_that_nobody_has_is_not_public() {
        for address in ["4000::1", "1fff::1", "8000::1", "64:ff9b::1:0:0", "64:ff9c::8.8.8.8"] {
            assert!(!judge(address), "{address}");
        }
    }

    proptest! {
        /// Against ipnet as a second implementation of prefixes.
        #[test]
        fn agrees_with_a_second_implementation(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(bits);
            let blocks = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 \
                          192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 \
                          224.0.0.0/4 240.0.0.0/4";
            let is_forbidden =
                blocks.split_whitespace().any(|block| block.parse::<ipnet::Ipv4Net>().unwrap().contains(&address));
            prop_assert_eq!(is_public(address.into()), !is_forbidden);
        }
    }
}
