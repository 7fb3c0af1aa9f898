/* The entry that Neo's runtime (DLR) and TVM's graph executor call: a packed function of inputs, weights, outputs, scratch. */
struct dl_tensor {
    void *data;
    int32_t device_type, device_id, rank;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};
union dl_value {
    int64_t integer;
    double number;
    struct dl_tensor *tensor;
};
ALWAYS unsigned char *dl_data(const union dl_value *value) {
    return (unsigned char *)value->tensor->data + (size_t)value->tensor->byte_offset;
}
NEO_API int32_t neo_dlr(const union dl_value *arguments, const int32_t *types, int32_t count, union dl_value *result,
                        int32_t *result_type, void *resource) {
    const void *inputs[INPUTS + 1];
    void *outputs[OUTPUTS + 1];
    (void)types, (void)result, (void)result_type, (void)resource;
    if (count != INPUTS + OUTPUTS + 2) return -1;
    for (int i = 0; i < INPUTS; i++) inputs[i] = dl_data(arguments + i);
    for (int i = 0; i < OUTPUTS; i++) outputs[i] = dl_data(arguments + INPUTS + 1 + i);
    neo_run(inputs, outputs, dl_data(arguments + INPUTS), dl_data(arguments + count - 1), 0, 1, 0, 0);
    return 0;
}
