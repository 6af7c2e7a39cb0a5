/*
 * sha256_lanes -- SHA-256 in LANES lanes; sha256x.c includes it for each
 * width, with LANES, LANES_TARGET and LANES_(name) defined.
 *
 * Lanes are independent: each has its own message, and takes the next one
 * when it has finished, so messages of any sizes keep all lanes busy.
 */
typedef uint32_t LANES_(vec)
    __attribute__((vector_size(4 * LANES), may_alias));

static inline __attribute__((target(LANES_TARGET), always_inline)) LANES_(vec)
LANES_(turn)(LANES_(vec) x, int n)
{
	return x >> n | x << (32 - n);
}

/* One block in each lane: s[k], w[t] are a row of lanes each. w is used up. */
static __attribute__((target(LANES_TARGET))) void
LANES_(compress)(uint32_t (*s)[LANES], uint32_t (*words)[LANES])
{
	LANES_(vec) *state = (LANES_(vec) *)(void *)s;
	LANES_(vec) *w = (LANES_(vec) *)(void *)words;
	LANES_(vec) a = state[0], b = state[1], c = state[2], d = state[3];
	LANES_(vec) e = state[4], f = state[5], g = state[6], h = state[7];
	LANES_(vec) x, y, t1, t2;
	int t;

	for (t = 0; t < 64; t++) {
		if (t >= 16) {
			x = w[(t + 1) & 15];
			y = w[(t + 14) & 15];
			w[t & 15] += w[(t + 9) & 15] +
			    (LANES_(turn)(x, 7) ^ LANES_(turn)(x, 18) ^
			    x >> 3) +
			    (LANES_(turn)(y, 17) ^ LANES_(turn)(y, 19) ^
			    y >> 10);
		}
		t1 = h + w[t & 15] + round_constant[t] + (g ^ (e & (f ^ g))) +
		    (LANES_(turn)(e, 6) ^ LANES_(turn)(e, 11) ^
		    LANES_(turn)(e, 25));
		t2 = ((a & b) | (c & (a | b))) + (LANES_(turn)(a, 2) ^
		    LANES_(turn)(a, 13) ^ LANES_(turn)(a, 22));
		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

struct LANES_(work) {
	_Alignas(64) uint32_t s[8][LANES];
	_Alignas(64) uint32_t w[16][LANES];
	struct lane lane[LANES];
};

/* Gives a lane the next message, if there is one. */
static void
LANES_(next)(struct LANES_(work) *k, int i, const struct span *m, size_t n,
    size_t *at, uint8_t (*out)[32])
{
	int j;

	k->lane[i].out = NULL;
	if (*at == n)
		return;
	lane_begin(&k->lane[i], m[*at], out[*at]);
	(*at)++;
	for (j = 0; j < 8; j++)
		k->s[j][i] = first_state[j];
}

static void
LANES_(finish)(const struct LANES_(work) *k, int i)
{
	uint32_t v;
	int j;

	for (j = 0; j < 8; j++) {
		v = __builtin_bswap32(k->s[j][i]);
		memcpy(k->lane[i].out + 4 * j, &v, 4);
	}
}

static void
LANES_(many)(const struct span *m, size_t n, uint8_t (*out)[32])
{
	struct LANES_(work) k;
	size_t at = 0, left = n;
	int i, t;

	memset(&k, 0, sizeof(k));
	for (i = 0; i < LANES; i++)
		LANES_(next)(&k, i, m, n, &at, out);
	while (left > 0) {
		for (i = 0; i < LANES; i++)
			if (k.lane[i].out != NULL)
				for (t = 0; t < 16; t++)
					k.w[t][i] = load32(k.lane[i].p + 4 * t);
		LANES_(compress)(k.s, k.w);
		for (i = 0; i < LANES; i++) {
			if (k.lane[i].out == NULL || !lane_step(&k.lane[i]))
				continue;
			LANES_(finish)(&k, i);
			LANES_(next)(&k, i, m, n, &at, out);
			left--;
		}
	}
}

#undef LANES
#undef LANES_TARGET
#undef LANES_
