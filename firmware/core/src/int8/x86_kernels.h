/* The kernels of one path; x86_avx2.c and x86_vnni.c say what the vectors are.
 *
 * Reads beyond the end of a tensor fall into what lies behind it in the arena, at most
 * MF_X86_SLACK bytes, and meet weights of 0 or lanes that are not stored. */

#define CHUNK 32 /* positions whose sums wait together, a multiple of ROWS */

/* How accumulators become codes, for each lane: mf_rescale, without its comparison.
 *
 * Where nothing overflows, which mf_int8_pack makes sure of, half away from zero is to add
 * half, less 1 for a negative x, and to shift.  Both halves, that of the product and that of
 * the shift, are added to the product at once; where it becomes 0 from below, the 1 too many
 * is shifted out.  `less` is 0 where no bit is shifted out, else −1.  If the output is
 * rectified, a negative x ends as the least code either way. */
typedef struct {
    vector multiplier, odd_multiplier, halves, odd_halves, less, right;
} scaling;

TARGET static inline int64_t halves_of(int32_t right) {
    return (INT64_C(1) << 30) + (right > 0 ? INT64_C(1) << (30 + right) : 0);
}

TARGET static inline scaling scaling_of(int32_t multiplier, int32_t right) {
    const vector m = V(set1_epi32)(multiplier), halves = every_64(halves_of(right));
    return (scaling){m, m, halves, halves, V(set1_epi32)(right > 0 ? -1 : 0), V(set1_epi32)(right)};
}

TARGET static inline vector rescale(vector x, const scaling *s, int rectified) {
    vector even = V(add_epi64)(V(mul_epi32)(x, s->multiplier), s->halves);
    vector odd = V(add_epi64)(V(mul_epi32)(V(srli_epi64)(x, 32), s->odd_multiplier), s->odd_halves);
    vector y = odd_lanes(V(srli_epi64)(even, 31), V(add_epi64)(odd, odd));
    if (!rectified) {
        y = add_where_negative(x, y, s->less);
    }
    return V(srav_epi32)(y, s->right);
}

/* The clamps of an output. */
typedef struct {
    vector zero_point, least, most; /* of 16, 8 and 8 bits */
    int rectified;                  /* no code is below the zero point */
} limits;

TARGET static inline limits limits_of(const mf_int8_range *range) {
    return (limits){V(set1_epi16)((int16_t)range->zero_point), V(set1_epi8)((char)range->least),
                    V(set1_epi8)((char)range->most), range->least >= range->zero_point};
}

/* Two vectors as one of int16 codes.  This and the next saturate, which the clamp hides. */
TARGET static inline vector narrow(vector a, vector b, const limits *to) {
    return V(adds_epi16)(V(packs_epi32)(a, b), to->zero_point);
}

/* Two vectors of int16 codes as one of int8 codes. */
TARGET static inline vector clamp(vector a, vector b, const limits *to) {
    return V(min_epi8)(V(max_epi8)(V(packs_epi16)(a, b), to->least), to->most);
}

/* Fill numbers of the image, up to a vector more. */
TARGET static inline uint8_t *pad(uint8_t *image, int32_t numbers, vector value) {
    for (int32_t i = 0; i < numbers; i += NUMBERS) {
        store(image + (size_t)i * ELEMENT, value);
    }
    return image + (size_t)numbers * ELEMENT;
}

/* Copy codes into the image, up to a vector more. */
TARGET static inline uint8_t *widen(uint8_t *image, const int8_t *codes, int32_t numbers) {
    for (int32_t i = 0; i < numbers; i += NUMBERS) {
        store(image + (size_t)i * ELEMENT, number_of(codes + i));
    }
    return image + (size_t)numbers * ELEMENT;
}

/* The input with its padding; from first to last, so that what goes too far is overwritten. */
TARGET static void make_image(const mf_int8_conv *p, const mf_x86_layer *layer, const int8_t *input,
                              uint8_t *image) {
    const vector zero = padding_of(p->input_zero);
    const int32_t channels = p->input.channels, line = p->input.width * channels;
    const int32_t width = (int32_t)layer->image_width, height = (int32_t)layer->image_height;
    const int32_t left = p->window.pad_left * channels, right = width * channels - line - left;
    const int32_t bottom = height - p->window.pad_top - p->input.height;
    if (left == 0 && right == 0) {
        image = pad(image, p->window.pad_top * line, zero);
        image = widen(image, input, p->input.height * line);
    } else {
        image = pad(image, p->window.pad_top * width * channels + left, zero);
        for (int32_t y = 0; y < p->input.height; y++) {
            image = widen(image, input + y * line, line);
            image = pad(image, right + (y + 1 < p->input.height ? left : 0), zero);
        }
    }
    pad(image, bottom * width * channels, zero);
}

static inline const int32_t *constants(const mf_x86_layer *layer, uint32_t array,
                                       uint32_t vectors) {
    return (const int32_t *)(const void *)((const uint8_t *)layer + array) +
           (size_t)vectors * LANES;
}

TARGET static inline scaling channel_scaling(const mf_x86_layer *layer, uint32_t i) {
    const int32_t *multipliers = constants(layer, layer->multipliers, i);
    return (scaling){load(multipliers),
                     load(multipliers + 1),
                     load(constants(layer, layer->halves, 2 * i)),
                     load(constants(layer, layer->halves, 2 * i + 1)),
                     load(constants(layer, layer->less, i)),
                     load(constants(layer, layer->rights, i))};
}

/* `rows` ≤ 4 vectors of sums as codes, `apart` bytes from one row to the next. */
TARGET static inline void store_sums(int8_t *to, size_t apart, const vector *sums, int32_t rows,
                                     const scaling *s, const limits *clamps, int32_t left) {
    const int rectified = clamps->rectified;
    vector a = narrow(rescale(sums[0], s, rectified), rescale(sums[1], s, rectified), clamps);
    vector b = narrow(rescale(sums[2], s, rectified), rescale(sums[3], s, rectified), clamps);
    store_rows(to, apart, in_rows(clamp(a, b, clamps)), rows, left);
}

/* The sums of `rows` positions and `next` vectors of output channels from vector `block` on:
 * sums[CHUNK · n + row].  Inlined with constant `rows` and `next`, they live in registers. */
TARGET INLINE void tile(const mf_x86_layer *layer, const uint8_t *const *positions, uint32_t block,
                        vector *sums, const int rows, const int next) {
    vector held[2][ROWS];
    const int32_t *offsets = constants(layer, layer->offsets, 0);
    const int32_t *weights = constants(layer, layer->weights, block * layer->words);
    const size_t apart = (size_t)layer->words * LANES;
    UNROLL for (int n = 0; n < next; n++) {
        vector bias = load(constants(layer, layer->bias, block + (uint32_t)n));
        UNROLL for (int r = 0; r < rows; r++) {
            held[n][r] = bias;
        }
    }
    for (uint32_t w = 0; w < layer->words; w++, weights += LANES) {
        vector first = load(weights), second = next > 1 ? load(weights + apart) : first;
        UNROLL for (int r = 0; r < rows; r++) {
            vector word = repeat(positions[r] + offsets[w]);
            held[0][r] = dot(held[0][r], word, first);
            if (next > 1) {
                held[1][r] = dot(held[1][r], word, second);
            }
        }
    }
    UNROLL for (int n = 0; n < next; n++) {
        UNROLL for (int r = 0; r < rows; r++) {
            sums[CHUNK * n + r] = held[n][r];
        }
    }
}

/* The same for the last vector of output channels, two words at once: a pair of vectors holds
 * both words of the first and of the second half of the channels.  Half as many loads of words
 * as a tile of one vector would take, which they would slow down. */
TARGET INLINE void tile_of_pairs(const mf_x86_layer *layer, const uint8_t *const *positions,
                                 uint32_t block, vector *sums, const int rows) {
    vector held[2][ROWS];
    const int32_t *offsets = constants(layer, layer->offsets, 0);
    const int32_t *weights = constants(layer, layer->weights, block * layer->words);
    UNROLL for (int r = 0; r < rows; r++) {
        held[0][r] = held[1][r] = V(set1_epi32)(0);
    }
    for (uint32_t w = 0; w < layer->words; w += 2, weights += 2 * LANES) {
        vector first = load(weights), second = load(weights + LANES);
        UNROLL for (int r = 0; r < rows; r++) {
            vector words = repeat_pair(positions[r] + offsets[w]);
            held[0][r] = dot(held[0][r], words, first);
            held[1][r] = dot(held[1][r], words, second);
        }
    }
    const vector bias = load(constants(layer, layer->bias, block));
    UNROLL for (int r = 0; r < rows; r++) {
        sums[r] = V(add_epi32)(add_neighbours(held[0][r], held[1][r]), bias);
    }
}

TARGET INLINE void any_tile(const mf_x86_layer *layer, const uint8_t *const *positions,
                            uint32_t block, vector *sums, const int rows) {
    if (block + 1 < layer->blocks) {
        tile(layer, positions, block, sums, rows, 2);
    } else if (layer->pairs) {
        tile_of_pairs(layer, positions, block, sums, rows);
    } else {
        tile(layer, positions, block, sums, rows, 1);
    }
}

/* The sums of up to CHUNK positions as codes of the channels of vector `block`. */
TARGET static void finish(const mf_int8_conv *p, const mf_x86_layer *layer, const vector *sums,
                          int8_t *output, uint32_t block, int32_t count) {
    const size_t channels = (size_t)p->output.channels;
    const limits clamps = limits_of(&p->range);
    const scaling s = channel_scaling(layer, block);
    const int32_t c = (int32_t)block * LANES, left = p->output.channels - c;
    output += c;
    for (int32_t r = 0; r < count; r += 4, output += 4 * channels) {
        store_sums(output, channels, sums + r, count - r, &s, &clamps, left);
    }
}

/* All output channels of up to CHUNK positions; `positions` may be read up to a tile further.
 * Sums wait in memory until a chunk is complete: the chain from a sum to its code is long, and
 * after every tile the multipliers would stand still for it. */
TARGET static void chunk(const mf_int8_conv *p, const mf_x86_layer *layer,
                         const uint8_t *const *positions, int8_t *output, int32_t count) {
    vector sums[2 * CHUNK];
    for (uint32_t block = 0; block < layer->blocks; block += 2) {
        for (int32_t r = 0; r < count; r += ROWS) {
            if (count - r > 4) { /* NOLINT(bugprone-branch-clone): each is inlined for its rows */
                any_tile(layer, positions + r, block, sums + r, ROWS);
            } else {
                any_tile(layer, positions + r, block, sums + r, 4);
            }
        }
        for (uint32_t n = 0; n < 2 && block + n < layer->blocks; n++) {
            finish(p, layer, sums + CHUNK * n, output, block + n, count);
        }
    }
}

/* One position: the words in four sums, so that no addition waits for the one before. */
TARGET static void single(const mf_int8_conv *p, const mf_x86_layer *layer, const uint8_t *position,
                          int8_t *output) {
    const int32_t *offsets = constants(layer, layer->offsets, 0);
    const limits clamps = limits_of(&p->range);
    for (uint32_t block = 0; block < layer->blocks; block++) {
        const int32_t *weights = constants(layer, layer->weights, block * layer->words);
        vector a = load(constants(layer, layer->bias, block));
        vector b = V(set1_epi32)(0), c = b, d = b;
        uint32_t w = 0;
        for (; w + 4 <= layer->words; w += 4, weights += 4 * LANES) {
            a = dot(a, repeat(position + offsets[w]), load(weights));
            b = dot(b, repeat(position + offsets[w + 1]), load(weights + LANES));
            c = dot(c, repeat(position + offsets[w + 2]), load(weights + 2 * LANES));
            d = dot(d, repeat(position + offsets[w + 3]), load(weights + 3 * LANES));
        }
        for (; w < layer->words; w++, weights += LANES) {
            a = dot(a, repeat(position + offsets[w]), load(weights));
        }
        a = V(add_epi32)(V(add_epi32)(a, b), V(add_epi32)(c, d));
        const scaling s = channel_scaling(layer, block);
        const int32_t at = (int32_t)block * LANES;
        store_sums(output + at, 0, (vector[4]){a, a, a, a}, 1, &s, &clamps,
                   p->output.channels - at);
    }
}

TARGET static void conv(const mf_int8_conv *p, const mf_x86_layer *layer, const int8_t *input,
                        int8_t *output, uint8_t *scratch) {
    const size_t number = (size_t)p->input.channels * ELEMENT;
    const size_t right = (size_t)p->window.stride_width * number;
    const size_t down = (size_t)p->window.stride_height * layer->image_width * number;
    const uint8_t *positions[CHUNK];
    int32_t filled = 0;
    make_image(p, layer, input, scratch);
    for (int32_t y = 0; y < p->output.height; y++) {
        const uint8_t *position = scratch + (size_t)y * down;
        for (int32_t x = 0, run; x < p->output.width; x += run, position += (size_t)run * right) {
            run = p->output.width - x < CHUNK - filled ? p->output.width - x : CHUNK - filled;
            for (int32_t i = 0; i < run; i++) {
                positions[filled + i] = position + (size_t)i * right;
            }
            filled += run;
            if (filled == CHUNK) {
                chunk(p, layer, positions, output, CHUNK);
                output += (size_t)CHUNK * (size_t)p->output.channels;
                filled = 0;
            }
        }
    }
    if (filled == 1 && !layer->pairs) {
        single(p, layer, positions[0], output);
    } else if (filled > 0) {
        for (int32_t r = filled; r < CHUNK; r++) {
            positions[r] = positions[0]; /* computed perhaps, but not stored */
        }
        chunk(p, layer, positions, output, filled);
    }
}

TARGET static inline void store_interleaved(int8_t *to, const vector *sums, const limits *clamps,
                                            int32_t count);

/* One vector of the image's numbers, `left` of which are stored. */
TARGET static inline void depthwise_block(const mf_x86_layer *layer, uint32_t block,
                                          const uint8_t *position, int8_t *output, int32_t left,
                                          int32_t taps, const limits *clamps) {
    const int32_t *offsets = constants(layer, layer->offsets, 0);
    vector sums[GROUP];
    for (uint32_t v = 0; v < GROUP; v++) {
        sums[v] = load(constants(layer, layer->bias, block * GROUP + v));
    }
    for (uint32_t w = 0; w < layer->words; w++) {
        vector numbers[GROUP], interleaved[GROUP];
        for (int32_t t = 0; t < GROUP; t++) {
            int32_t tap = (int32_t)w * GROUP + t;
            numbers[t] = load(position + offsets[tap < taps ? tap : 0]);
        }
        interleave(numbers, interleaved);
        for (uint32_t v = 0; v < GROUP; v++) {
            uint32_t at = (block * GROUP + v) * layer->words + w;
            sums[v] = dot(sums[v], interleaved[v], load(constants(layer, layer->weights, at)));
        }
    }
    for (uint32_t v = 0; v < GROUP; v++) {
        const scaling s = channel_scaling(layer, block * GROUP + v);
        sums[v] = rescale(sums[v], &s, clamps->rectified);
    }
    store_interleaved(output, sums, clamps, left);
}

TARGET static void depthwise(const mf_int8_conv *p, const mf_x86_layer *layer, const int8_t *input,
                             int8_t *output, uint8_t *scratch) {
    const int32_t channels = p->output.channels, block = LANES * GROUP;
    const int32_t taps = p->window.kernel_height * p->window.kernel_width;
    const size_t right = (size_t)p->window.stride_width * (size_t)channels * ELEMENT;
    const size_t down = (size_t)p->window.stride_height * layer->image_width * (size_t)channels;
    const limits clamps = limits_of(&p->range);
    /* wide: the numbers of a whole row are as many channels, of which `block` are alike */
    const int32_t steps = layer->wide ? 1 : p->output.width;
    const int32_t numbers = layer->wide ? p->output.width * channels : channels;
    make_image(p, layer, input, scratch);
    for (int32_t y = 0; y < p->output.height; y++) {
        for (int32_t x = 0; x < steps; x++, output += numbers) {
            const uint8_t *at = scratch + (size_t)y * down * ELEMENT + (size_t)x * right;
            for (int32_t c = 0; c < numbers; c += block) {
                depthwise_block(layer, layer->wide ? 0 : (uint32_t)(c / block),
                                at + (size_t)c * ELEMENT, output + c,
                                numbers - c < block ? numbers - c : block, taps, &clamps);
            }
        }
    }
}

/* An input of ADD, d = code − zero point: rescale(d · 2^20), in a product of two parts. */
typedef struct {
    vector zero, high, low, half, less, right;
    int is_half; /* the scale is exactly 1/2, as it is of one input of every ADD */
} addend;

TARGET static addend addend_of(const mf_int8_sum *p, int which) {
    const int32_t multiplier = p->input_scale[which].multiplier;
    const int32_t right = -p->input_scale[which].shift;
    return (addend){V(set1_epi32)(p->zero[which]),
                    V(set1_epi32)(multiplier >> 11),
                    V(set1_epi32)(multiplier & 0x7ff),
                    V(set1_epi32)(right > 0 ? INT32_C(1) << (right - 1) : 0),
                    V(set1_epi32)(right > 0 ? -1 : 0),
                    V(set1_epi32)(right),
                    multiplier == 1 << 30 && right == 0};
}

TARGET static inline vector scaled(const int8_t *codes, const addend *a) {
    vector d = V(sub_epi32)(codes_of(codes), a->zero);
    if (a->is_half) {
        return V(slli_epi32)(d, 19);
    }
    vector low = V(add_epi32)(V(mullo_epi32)(d, a->low), V(set1_epi32)(1 << 10));
    vector x = V(add_epi32)(V(mullo_epi32)(d, a->high), V(srai_epi32)(low, 11));
    x = add_where_negative(d, V(add_epi32)(x, a->half), a->less);
    return V(srav_epi32)(x, a->right);
}

TARGET static void add(const mf_int8_sum *p, const int8_t *a, const int8_t *b, int8_t *output) {
    const int32_t count = p->axes.length[MF_INT8_RANK - 1];
    const limits clamps = limits_of(&p->range);
    const addend first = addend_of(p, 0), second = addend_of(p, 1);
    const scaling s = scaling_of(p->scale.multiplier, -p->scale.shift);
    for (int32_t i = 0; i < count; i += 4 * LANES) {
        int8_t codes[4 * LANES];
        int8_t *to = count - i < 4 * LANES ? codes : output + i;
        vector sums[4];
        UNROLL for (int32_t k = 0; k < 4; k++) {
            vector x = scaled(a + i + k * LANES, &first);
            vector y = scaled(b + i + k * LANES, &second);
            sums[k] = p->sign > 0 ? V(add_epi32)(x, y) : V(sub_epi32)(x, y);
        }
        store_sums(to, LANES, sums, 4, &s, &clamps, LANES);
        if (to == codes) {
            memcpy(output + i, codes, (size_t)(count - i));
        }
    }
}
